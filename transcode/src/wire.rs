//! The protobuf wire format: records in, records out.

use crate::{MAX_DEPTH, OutputError};

/// Wire types, as they stand in the low three bits of a tag.
pub(crate) const VARINT: u32 = 0;
pub(crate) const FIXED64: u32 = 1;
pub(crate) const LEN: u32 = 2;
pub(crate) const GROUP: u32 = 3;
const GROUP_END: u32 = 4;
pub(crate) const FIXED32: u32 = 5;

/// One value as it stands on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    Group(&'a [u8]),
}

/// Reads the records of one message.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Where the next record begins.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The next record's field number and value.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Raw<'a>)>, OutputError> {
        match self.tag()? {
            Some(tag) => Ok(Some((tag >> 3, self.value(tag)?))),
            None => Ok(None),
        }
    }

    /// The next record's tag: its field number and, in the low three bits, its wire type.
    #[inline]
    pub(crate) fn tag(&mut self) -> Result<Option<u32>, OutputError> {
        match self.bytes.get(self.position) {
            None => Ok(None),
            Some(&byte) if (1 << 3..0x80).contains(&byte) => {
                self.position += 1;
                Ok(Some(byte.into()))
            }
            Some(_) => self.long_tag().map(Some),
        }
    }

    fn long_tag(&mut self) -> Result<u32, OutputError> {
        match u32::try_from(self.varint()?) {
            Ok(tag) if tag >> 3 > 0 => Ok(tag),
            _ => Err(OutputError::Malformed("field number")),
        }
    }

    /// The value that follows a tag.
    #[inline]
    pub(crate) fn value(&mut self, tag: u32) -> Result<Raw<'a>, OutputError> {
        Ok(match tag & 7 {
            VARINT => Raw::Varint(self.varint()?),
            FIXED64 => Raw::Fixed64(u64::from_le_bytes(self.array()?)),
            FIXED32 => Raw::Fixed32(u32::from_le_bytes(self.array()?)),
            LEN => Raw::Bytes(self.bytes()?),
            GROUP => Raw::Group(self.group(tag >> 3)?),
            _ => return Err(OutputError::Malformed("wire type")),
        })
    }

    /// Bytes after their length.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], OutputError> {
        let length = self.varint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, OutputError> {
        match self.bytes.get(self.position) {
            Some(&byte) if byte < 0x80 => {
                self.position += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, OutputError> {
        let mut value = 0;
        let bytes = &self.bytes[self.position..];
        for (index, &byte) in bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.position += index + 1;
                return Ok(value);
            }
        }
        Err(OutputError::Malformed("varint"))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], OutputError> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("take gives what was asked for"))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], OutputError> {
        let rest = &self.bytes[self.position..];
        let taken = rest
            .get(..length)
            .ok_or(OutputError::Malformed("length beyond the end"))?;
        self.position += length;
        Ok(taken)
    }

    /// The records of a group, without its tags.
    fn group(&mut self, number: u32) -> Result<&'a [u8], OutputError> {
        let start = self.position;
        let mut open = vec![number];
        loop {
            let end = self.position;
            let tag = self.varint()?;
            let (inner, kind) = ((tag >> 3) as u32, (tag & 7) as u32);
            match kind {
                VARINT => drop(self.varint()?),
                FIXED64 => drop(self.array::<8>()?),
                FIXED32 => drop(self.array::<4>()?),
                LEN => drop(self.bytes()?),
                GROUP if open.len() < MAX_DEPTH as usize => open.push(inner),
                GROUP_END if open.pop() == Some(inner) => {
                    if open.is_empty() {
                        return Ok(&self.bytes[start..end]);
                    }
                }
                _ => return Err(OutputError::Malformed("group")),
            }
        }
    }
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, LEN);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Leaves room for a length that is known later; most lengths take one byte.
#[inline]
pub(crate) fn open_length(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len()
}

/// Writes the length of all since `start`, which [`open_length`] gave.
#[inline]
pub(crate) fn close_length(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
        return;
    }
    let mut varint = [0; 10];
    let mut size = 0;
    let mut rest = length;
    while rest >= 0x80 {
        varint[size] = rest as u8 | 0x80;
        rest >>= 7;
        size += 1;
    }
    varint[size] = rest as u8;
    size += 1;
    let end = out.len();
    out.resize(end + size - 1, 0);
    out.copy_within(start..end, start + size - 1);
    out[start - 1..start - 1 + size].copy_from_slice(&varint[..size]);
}

pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A `google.api.HttpBody`, borrowed from its wire bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpBody<'a> {
    /// The Content-Type; empty where the message has none.
    pub content_type: &'a str,
    /// The content.
    pub data: &'a [u8],
}

/// Reads a `google.api.HttpBody`.
///
/// # Errors
/// [`OutputError::Malformed`] where the bytes are no such message.
pub fn http_body(wire: &[u8]) -> Result<HttpBody<'_>, OutputError> {
    let mut body = HttpBody::default();
    let mut records = Records::new(wire);
    while let Some(record) = records.next()? {
        match record {
            (1, Raw::Bytes(bytes)) => body.content_type = utf8(bytes)?,
            (2, Raw::Bytes(bytes)) => body.data = bytes,
            _ => {}
        }
    }
    Ok(body)
}

pub(crate) const NOT_UTF8: OutputError = OutputError::Malformed("a string is not UTF-8");

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, OutputError> {
    std::str::from_utf8(bytes).map_err(|_| NOT_UTF8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_written_before_what_it_measures() {
        for size in [0, 1, 127, 128, 300, 16_383, 16_384, 3_000_000] {
            let mut out = vec![7];
            let start = open_length(&mut out);
            out.extend(std::iter::repeat_n(9, size));
            close_length(&mut out, start);
            let mut expected = vec![7];
            put_varint(&mut expected, size as u64);
            expected.extend(std::iter::repeat_n(9, size));
            assert!(out == expected, "{size}");
        }
    }

    #[test]
    fn zigzag_turns_back() {
        for value in [0, -1, 1, i64::MIN, i64::MAX, 12345, -54321] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &[0x08][..],
            &[0x0a, 5, 1],
            &[0x00, 1],
            &[0x0e],
            &[0x0b, 0x08, 1],
            &[0xff; 11],
        ] {
            assert!(Records::new(bytes).next().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_group_is_read_whole() {
        let bytes = [0x0b, 0x08, 1, 0x13, 0x14, 0x0c, 0x10, 5];
        let mut records = Records::new(&bytes);
        assert!(matches!(
            records.next(),
            Ok(Some((1, Raw::Group([0x08, 1, 0x13, 0x14]))))
        ));
        assert!(matches!(records.next(), Ok(Some((2, Raw::Varint(5))))));
    }
}

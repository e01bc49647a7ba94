//! Reads the records of a message's wire bytes. Whatever encoders of today do not write is not read either.

/// Wire types, as they stand in the low three bits of a tag.
pub(super) const VARINT: u32 = 0;
pub(super) const FIXED64: u32 = 1;
pub(super) const LEN: u32 = 2;
pub(super) const FIXED32: u32 = 5;

/// One value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// A varint, or the bits of a fixed one.
    Number(u64),
    Bytes(&'a [u8]),
}

impl Raw<'_> {
    /// Whether it is what a field without presence has where it is not set.
    pub(super) fn is_zero(self) -> bool {
        match self {
            Self::Number(number) => number == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

/// What is left of a message. `None` of its methods: these are no records that it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next record's tag: its field number and, in the low three bits, its wire type.
    pub(super) fn tag(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    /// Steps over the next record's tag, where it is this one.
    pub(super) fn eat(&mut self, tag: u32) -> bool {
        let mut rest = *self;
        let is_it = rest.tag() == Some(tag);
        if is_it {
            *self = rest;
        }
        is_it
    }

    /// A value of this wire type.
    pub(super) fn value(&mut self, wire_type: u32) -> Option<Raw<'a>> {
        Some(match wire_type {
            VARINT => Raw::Number(self.varint()?),
            FIXED64 => Raw::Number(u64::from_le_bytes(self.array()?)),
            FIXED32 => Raw::Number(u32::from_le_bytes(self.array()?).into()),
            LEN => {
                let length = usize::try_from(self.varint()?).ok()?;
                Raw::Bytes(self.take(length)?)
            }
            _ => return None,
        })
    }

    fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(first.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Some(value);
            }
        }
        None
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

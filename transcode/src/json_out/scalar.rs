//! Scalars from the wire to JSON.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Printer, Result};
use crate::{
    OutputError,
    schema::{Kind, Schema},
    text,
    wire::{self, Raw, Records, unzigzag},
};

impl Printer {
    #[inline]
    pub(crate) fn scalar(
        &self,
        schema: &Schema,
        kind: Kind,
        raw: Raw<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match (kind, raw) {
            (Kind::String, Raw::Bytes(bytes)) => put_text(out, bytes)?,
            (Kind::Bool, Raw::Varint(value)) => put_bool(out, value),
            (Kind::Int32, Raw::Varint(value)) => text::put_integer(out, value as i32),
            (Kind::Enum(id), Raw::Varint(value)) => {
                let enumeration = schema.enumeration(id);
                let number = value as i32;
                match enumeration.label(number) {
                    _ if enumeration.null => out.extend_from_slice(b"null"),
                    Some(label) if !self.options.enum_numbers => {
                        out.extend_from_slice(label.as_bytes());
                    }
                    _ => text::put_integer(out, number),
                }
            }
            (Kind::Int64, Raw::Varint(value)) => text::put_quoted_integer(out, value as i64),
            (Kind::Uint32, Raw::Varint(value)) => text::put_integer(out, value as u32),
            (Kind::Uint64, Raw::Varint(value)) => text::put_quoted_integer(out, value),
            (Kind::Sint32, Raw::Varint(value)) => {
                text::put_integer(out, unzigzag(u64::from(value as u32)) as i32);
            }
            (Kind::Sint64, Raw::Varint(value)) => text::put_quoted_integer(out, unzigzag(value)),
            (Kind::Double, Raw::Fixed64(bits)) => text::put_double(out, f64::from_bits(bits)),
            (Kind::Float, Raw::Fixed32(bits)) => text::put_float(out, f32::from_bits(bits)),
            (Kind::Fixed32, Raw::Fixed32(value)) => text::put_integer(out, value),
            (Kind::Sfixed32, Raw::Fixed32(value)) => text::put_integer(out, value as i32),
            (Kind::Fixed64, Raw::Fixed64(value)) => text::put_quoted_integer(out, value),
            (Kind::Sfixed64, Raw::Fixed64(value)) => text::put_quoted_integer(out, value as i64),
            (Kind::Bytes, Raw::Bytes(bytes)) => put_base64(out, bytes)?,
            _ => return Err(OutputError::Malformed("a field has another wire type")),
        }
        Ok(())
    }

    /// A map's key: always a string in JSON.
    pub(super) fn key(
        &self,
        schema: &Schema,
        kind: Kind,
        raw: Option<Raw<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let raw = raw.unwrap_or_else(|| zero(kind));
        let bare = matches!(
            kind,
            Kind::Bool | Kind::Int32 | Kind::Sint32 | Kind::Uint32 | Kind::Fixed32 | Kind::Sfixed32
        );
        if !bare {
            return self.scalar(schema, kind, raw, out);
        }
        out.push(b'"');
        self.scalar(schema, kind, raw, out)?;
        out.push(b'"');
        Ok(())
    }
}

/// The zero value of a kind, as it would stand on the wire.
pub(super) fn zero(kind: Kind) -> Raw<'static> {
    match kind.wire_type() {
        wire::VARINT => Raw::Varint(0),
        wire::FIXED64 => Raw::Fixed64(0),
        wire::FIXED32 => Raw::Fixed32(0),
        _ => Raw::Bytes(&[]),
    }
}

/// The next value of a packed list.
pub(super) fn packed<'a>(kind: Kind, values: &mut Records<'a>) -> Result<Raw<'a>> {
    Ok(match kind.wire_type() {
        wire::FIXED64 => Raw::Fixed64(u64::from_le_bytes(values.array()?)),
        wire::FIXED32 => Raw::Fixed32(u32::from_le_bytes(values.array()?)),
        _ => Raw::Varint(values.varint()?),
    })
}

#[inline]
pub(super) fn put_bool(out: &mut Vec<u8>, value: u64) {
    match value {
        0 => out.extend_from_slice(b"false"),
        _ => out.extend_from_slice(b"true"),
    }
}

#[inline]
pub(super) fn put_text(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    match text::put_wire_string(out, bytes) {
        true => Ok(()),
        false => Err(wire::NOT_UTF8),
    }
}

pub(super) fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    out.push(b'"');
    let start = out.len();
    let size = base64::encoded_len(bytes.len(), true)
        .ok_or(OutputError::NoJson("it is too long for base64"))?;
    out.resize(start + size, 0);
    let written = BASE64_STANDARD.encode_slice(bytes, &mut out[start..]);
    written.map_err(|_| OutputError::NoJson("it is too long for base64"))?;
    out.push(b'"');
    Ok(())
}

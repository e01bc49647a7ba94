//! Lists and maps to JSON.

use super::{Printer, Result, merge, scalar};
use crate::{
    OutputError, Schema,
    schema::{Field, Kind},
    wire::{Raw, Records},
};

impl Printer {
    pub(super) fn list(
        &mut self,
        schema: &Schema,
        field: &Field,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        let mut records = Records::new(wire);
        let mut first = true;
        while let Some((number, raw)) = records.next()? {
            if number == field.number {
                self.element(schema, field, raw, out, depth, &mut first)?;
            }
        }
        Ok(())
    }

    /// One record of a list: an element, or many of them packed.
    pub(super) fn element(
        &mut self,
        schema: &Schema,
        field: &Field,
        raw: Raw<'_>,
        out: &mut Vec<u8>,
        depth: u32,
        first: &mut bool,
    ) -> Result<()> {
        match raw {
            Raw::Bytes(bytes) if is_packable(field.kind) => {
                let mut packed = Records::new(bytes);
                while packed.position() < bytes.len() {
                    comma(out, first);
                    let raw = scalar::packed(field.kind, &mut packed)?;
                    self.scalar(schema, field.kind, raw, out)?;
                }
                Ok(())
            }
            raw => {
                comma(out, first);
                self.single(schema, field.kind, raw, out, depth)
            }
        }
    }

    pub(super) fn map(
        &mut self,
        schema: &Schema,
        field: &Field,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        let mut records = Records::new(wire);
        let mut first = true;
        while let Some((number, raw)) = records.next()? {
            if number == field.number {
                self.entry(schema, field, raw, out, depth, &mut first)?;
            }
        }
        Ok(())
    }

    /// One record of a map.
    pub(super) fn entry(
        &mut self,
        schema: &Schema,
        field: &Field,
        raw: Raw<'_>,
        out: &mut Vec<u8>,
        depth: u32,
        first: &mut bool,
    ) -> Result<()> {
        let Kind::Message(entry) = field.kind else {
            return Err(OutputError::Malformed("map"));
        };
        let ([key_field, value_field], Raw::Bytes(entry)) =
            (&schema.message(entry).fields[..], raw)
        else {
            return Err(OutputError::Malformed("map entry"));
        };
        let (key, value, parts) = key_and_value(entry)?;
        comma(out, first);
        self.key(schema, key_field.kind, key, out)?;
        out.push(b':');
        match (value, value_field.kind) {
            (Some(_), Kind::Message(id)) if parts => {
                let merged = merge(value_field.number, entry)?;
                self.nested(schema, id, &merged, out, depth + 2)
            }
            (Some(raw), kind) => self.single(schema, kind, raw, out, depth + 1),
            (None, Kind::Message(id)) => self.nested(schema, id, &[], out, depth + 2),
            (None, _) => self.zero(schema, value_field, out),
        }
    }
}

/// Whether many values of a list may stand in one record.
pub(super) fn is_packable(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::String | Kind::Bytes | Kind::Message(_) | Kind::Group(_)
    )
}

#[inline]
pub(super) fn comma(out: &mut Vec<u8>, first: &mut bool) {
    if !*first {
        out.push(b',');
    }
    *first = false;
}

/// The key and value of a map entry, and whether there are several values: of messages they are parts.
pub(super) fn key_and_value(entry: &[u8]) -> Result<(Option<Raw<'_>>, Option<Raw<'_>>, bool)> {
    let (mut key, mut value) = (None, None);
    let mut records = Records::new(entry);
    let mut parts = false;
    while let Some((number, raw)) = records.next()? {
        match number {
            1 => key = Some(raw),
            2 => {
                parts = value.is_some();
                value = Some(raw);
            }
            _ => {}
        }
    }
    Ok((key, value, parts))
}

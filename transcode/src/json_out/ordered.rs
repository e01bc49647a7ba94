//! Messages whose records stand in the order of their numbers, as encoders write them: printed in one pass.

use super::{
    Printer, Result,
    repeated::{comma, is_packable},
    scalar,
};
use crate::{
    Schema,
    schema::{Field, Kind, Message, Shape},
    text,
    wire::Records,
};

/// Oneofs of one message that are told apart; messages with more take the way with slots.
const MAX_ONEOFS: u16 = 64;

impl Printer {
    /// Appends the members of a message in one pass over its records.
    ///
    /// False where that cannot be done, with part of them written: a record comes after one with a higher number,
    /// a singular field has several, or two of one oneof.
    pub(super) fn ordered(
        &mut self,
        schema: &Schema,
        message: &Message,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
        mut first: bool,
    ) -> Result<bool> {
        let mut records = Records::new(wire);
        let mut oneofs = 0u64;
        let mut written = 0;
        let mut next = records.tag()?;
        while let Some(tag) = next {
            let index = match message.fields.get(written) {
                Some(field) if field.tag == tag => written,
                _ => match message.field_numbered(tag >> 3).map(usize::from) {
                    Some(index) if index < written => return Ok(false),
                    Some(index) => index,
                    None => {
                        records.value(tag)?;
                        next = records.tag()?;
                        continue;
                    }
                },
            };
            let field = &message.fields[index];
            if index > written {
                self.absent(schema, &message.fields[written..index], &mut first, out)?;
            }
            self.label(field, &mut first, out);
            if matches!(field.shape, Shape::Implicit | Shape::Explicit) {
                if !set_oneof(&mut oneofs, field) {
                    return Ok(false);
                }
                self.record(schema, field, (tag, &mut records), out, depth)?;
                next = records.tag()?;
                if next.is_some_and(|next| next >> 3 == field.number) {
                    return Ok(false);
                }
            } else {
                next = self.repeated(schema, field, (tag, &mut records), out, depth)?;
            }
            written = index + 1;
        }
        if written < message.fields.len() {
            self.absent(schema, &message.fields[written..], &mut first, out)?;
        }
        Ok(true)
    }

    /// The records of a list or map that follow each other, from that with `tag` on. Returns the tag after them.
    fn repeated(
        &mut self,
        schema: &Schema,
        field: &Field,
        (mut tag, records): (u32, &mut Records<'_>),
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<Option<u32>> {
        let is_map = field.shape == Shape::Map;
        out.push(if is_map { b'{' } else { b'[' });
        let mut first = true;
        let next = loop {
            if is_map {
                self.entry(schema, field, records.value(tag)?, out, depth, &mut first)?;
            } else if tag == field.tag && !is_packable(field.kind) {
                comma(out, &mut first);
                self.record(schema, field, (tag, records), out, depth)?;
            } else {
                self.element(schema, field, records.value(tag)?, out, depth, &mut first)?;
            }
            match records.tag()? {
                Some(next) if next >> 3 == field.number => tag = next,
                next => break next,
            }
        };
        out.push(if is_map { b'}' } else { b']' });
        Ok(next)
    }

    /// The value of a record whose tag has been read.
    #[inline(always)]
    fn record(
        &mut self,
        schema: &Schema,
        field: &Field,
        (tag, records): (u32, &mut Records<'_>),
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        // The most frequent kinds, without asking again what stands on the wire.
        match field.kind {
            Kind::String if tag == field.tag => scalar::put_text(out, records.bytes()?),
            Kind::Message(id) if tag == field.tag => {
                self.nested(schema, id, records.bytes()?, out, depth + 1)
            }
            Kind::Bool if tag == field.tag => {
                scalar::put_bool(out, records.varint()?);
                Ok(())
            }
            Kind::Int32 if tag == field.tag => {
                text::put_integer(out, records.varint()? as i32);
                Ok(())
            }
            Kind::Int64 if tag == field.tag => {
                text::put_quoted_integer(out, records.varint()? as i64);
                Ok(())
            }
            kind => self.single(schema, kind, records.value(tag)?, out, depth),
        }
    }

    /// Fields that have no record.
    fn absent(
        &mut self,
        schema: &Schema,
        fields: &[Field],
        first: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.options.defaults {
            for field in fields.iter().filter(|field| !field.quiet) {
                self.label(field, first, out);
                self.zero(schema, field, out)?;
            }
        }
        Ok(())
    }
}

/// Notes that a field's oneof is set; false where it was.
fn set_oneof(oneofs: &mut u64, field: &Field) -> bool {
    let Some(oneof) = field.oneof else {
        return true;
    };
    if oneof >= MAX_ONEOFS {
        return false;
    }
    let before = *oneofs;
    *oneofs |= 1 << oneof;
    *oneofs != before
}

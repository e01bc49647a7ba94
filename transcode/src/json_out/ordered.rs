//! Messages whose records stand in the order of their numbers, as encoders write them: printed in one pass.

use super::{Printer, Result};
use crate::{
    Schema,
    schema::{Field, Message, Shape},
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
        let mut record = records.next()?;
        while let Some((number, raw)) = record {
            let index = match message.fields.get(written) {
                Some(field) if field.number == number => written,
                _ => match message.field_numbered(number).map(usize::from) {
                    Some(index) if index < written => return Ok(false),
                    Some(index) => index,
                    None => {
                        record = records.next()?;
                        continue;
                    }
                },
            };
            let field = &message.fields[index];
            self.absent(schema, &message.fields[written..index], &mut first, out)?;
            self.label(field, &mut first, out);
            match field.shape {
                Shape::Implicit | Shape::Explicit => {
                    record = records.next()?;
                    let again = record.is_some_and(|(next, _)| next == number);
                    if again || !set_oneof(&mut oneofs, field) {
                        return Ok(false);
                    }
                    self.single(schema, field.kind, raw, out, depth)?;
                }
                Shape::List { .. } => {
                    out.push(b'[');
                    let mut first = true;
                    while let Some((next, raw)) = record
                        && next == number
                    {
                        self.element(schema, field, raw, out, depth, &mut first)?;
                        record = records.next()?;
                    }
                    out.push(b']');
                }
                Shape::Map => {
                    out.push(b'{');
                    let mut first = true;
                    while let Some((next, raw)) = record
                        && next == number
                    {
                        self.entry(schema, field, raw, out, depth, &mut first)?;
                        record = records.next()?;
                    }
                    out.push(b'}');
                }
            }
            written = index + 1;
        }
        self.absent(schema, &message.fields[written..], &mut first, out)?;
        Ok(true)
    }

    /// Fields that have no record.
    #[inline]
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

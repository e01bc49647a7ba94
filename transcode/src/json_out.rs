//! Protobuf wire bytes to JSON.

mod ordered;
mod repeated;
mod scalar;
mod wkt;

use crate::{
    MAX_DEPTH, MessageId, OutputError, Schema,
    schema::{Field, Form, Kind, Message, Shape},
    text,
    wire::{Raw, Records},
};

type Result<T> = std::result::Result<T, OutputError>;

/// Choices that other gateways offer too.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions {
    /// Write fields without presence also where they hold their zero value. On by default.
    pub defaults: bool,
    /// Write enum values as numbers instead of names.
    pub enum_numbers: bool,
    /// Write `snake_case` names of the contract instead of JSON names.
    pub proto_names: bool,
}

impl Default for PrintOptions {
    fn default() -> Self {
        Self {
            defaults: true,
            enum_numbers: false,
            proto_names: false,
        }
    }
}

/// Turns protobuf wire bytes into JSON. Keeps its scratch memory: use one for many messages.
#[derive(Debug, Default)]
pub struct Printer {
    slots: Vec<Slot>,
    options: PrintOptions,
    /// Set once a record came out of order: the rest of the document is not tried in one pass.
    unordered: bool,
}

/// Where the records of one field stand.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Start of the first record.
    first: usize,
    /// Start of the last record.
    last: usize,
    /// End of the last record.
    end: usize,
    count: usize,
}

impl Printer {
    /// A printer that makes other choices than the default ones.
    pub fn new(options: PrintOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Appends the JSON of a message.
    ///
    /// # Errors
    /// Where the bytes are malformed or JSON has no form for them; `out` then holds part of it.
    pub fn message(
        &mut self,
        schema: &Schema,
        id: MessageId,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.slots.clear();
        self.unordered = false;
        self.nested(schema, id, wire, out, 0)
    }

    /// Appends the JSON of one field: its value, or what its absence means, which is `null` where it has presence.
    pub(crate) fn field(
        &mut self,
        schema: &Schema,
        id: MessageId,
        index: u16,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.slots.clear();
        self.unordered = false;
        let message = schema.message(id);
        let field = message.field(index);
        self.find(message, wire)?;
        let slot = self.slots[usize::from(index)];
        if slot.count > 0 {
            self.value(schema, field, slot, wire, out, 0)
        } else if field.shape == Shape::Explicit {
            out.extend_from_slice(b"null");
            Ok(())
        } else {
            self.zero(schema, field, out)
        }
    }

    fn nested(
        &mut self,
        schema: &Schema,
        id: MessageId,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(OutputError::Malformed("it is nested too deep"));
        }
        let message = schema.message(id);
        match message.form {
            Form::Plain | Form::Empty => {
                out.push(b'{');
                self.members(schema, message, wire, out, depth, true)?;
                out.push(b'}');
                Ok(())
            }
            form => self.well_known(schema, form, wire, out, depth),
        }
    }

    /// The members of an object, without braces. `first` is false where a member was written before.
    fn members(
        &mut self,
        schema: &Schema,
        message: &Message,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
        mut first: bool,
    ) -> Result<()> {
        if !self.unordered {
            let start = out.len();
            if self.ordered(schema, message, wire, out, depth, first)? {
                return Ok(());
            }
            self.unordered = true;
            out.truncate(start);
        }
        let base = self.slots.len();
        self.find(message, wire)?;
        for (index, field) in message.fields.iter().enumerate() {
            let slot = self.slots[base + index];
            if slot.count == 0 && (field.quiet || !self.options.defaults) {
                continue;
            }
            self.label(field, &mut first, out);
            if slot.count == 0 {
                self.zero(schema, field, out)?;
            } else {
                self.value(schema, field, slot, wire, out, depth)?;
            }
        }
        self.slots.truncate(base);
        Ok(())
    }

    /// A member's name, with the comma before it and the colon after it.
    #[inline(always)]
    fn label(&self, field: &Field, first: &mut bool, out: &mut Vec<u8>) {
        repeated::comma(out, first);
        if self.options.proto_names {
            text::put_string(out, &field.name);
            out.push(b':');
        } else {
            field.head.put(out);
        }
    }

    /// Pushes a slot for each field of the message.
    fn find(&mut self, message: &Message, wire: &[u8]) -> Result<()> {
        let base = self.slots.len();
        self.slots
            .resize(base + message.fields.len(), Slot::default());
        let mut records = Records::new(wire);
        let mut start = 0;
        while let Some((number, _)) = records.next()? {
            let end = records.position();
            if let Some(index) = message.field_numbered(number) {
                if let Some(oneof) = message.field(index).oneof {
                    for &member in &message.oneofs[usize::from(oneof)].1 {
                        if member != index {
                            self.slots[base + usize::from(member)] = Slot::default();
                        }
                    }
                }
                let slot = &mut self.slots[base + usize::from(index)];
                if slot.count == 0 {
                    slot.first = start;
                }
                slot.last = start;
                slot.end = end;
                slot.count += 1;
            }
            start = end;
        }
        Ok(())
    }

    fn value(
        &mut self,
        schema: &Schema,
        field: &Field,
        slot: Slot,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        match field.shape {
            Shape::List { .. } => {
                out.push(b'[');
                self.list(schema, field, &wire[slot.first..slot.end], out, depth)?;
                out.push(b']');
                Ok(())
            }
            Shape::Map => {
                out.push(b'{');
                self.map(schema, field, &wire[slot.first..slot.end], out, depth)?;
                out.push(b'}');
                Ok(())
            }
            Shape::Implicit | Shape::Explicit => {
                let merges =
                    matches!(field.kind, Kind::Message(_) | Kind::Group(_)) && slot.count > 1;
                let wire = &wire[if merges { slot.first } else { slot.last }..slot.end];
                let merged;
                let raw = if merges {
                    merged = merge(field.number, wire)?;
                    match field.kind {
                        Kind::Group(_) => Raw::Group(&merged),
                        _ => Raw::Bytes(&merged),
                    }
                } else {
                    let record = Records::new(wire).next()?;
                    record.ok_or(OutputError::Malformed("record"))?.1
                };
                self.single(schema, field.kind, raw, out, depth)
            }
        }
    }

    /// One value of a field.
    #[inline]
    fn single(
        &mut self,
        schema: &Schema,
        kind: Kind,
        raw: Raw<'_>,
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        match (kind, raw) {
            (Kind::Message(id), Raw::Bytes(bytes)) | (Kind::Group(id), Raw::Group(bytes)) => {
                self.nested(schema, id, bytes, out, depth + 1)
            }
            _ => self.scalar(schema, kind, raw, out),
        }
    }

    /// What absence means.
    fn zero(&mut self, schema: &Schema, field: &Field, out: &mut Vec<u8>) -> Result<()> {
        match field.shape {
            Shape::List { .. } => out.extend_from_slice(b"[]"),
            Shape::Map => out.extend_from_slice(b"{}"),
            _ => return self.scalar(schema, field.kind, scalar::zero(field.kind), out),
        }
        Ok(())
    }
}

/// A message that comes in parts is the parts one after the other.
fn merge(number: u32, wire: &[u8]) -> Result<Vec<u8>> {
    let mut merged = Vec::with_capacity(wire.len());
    let mut records = Records::new(wire);
    while let Some((found, raw)) = records.next()? {
        if found == number
            && let Raw::Bytes(bytes) | Raw::Group(bytes) = raw
        {
            merged.extend_from_slice(bytes);
        }
    }
    Ok(merged)
}

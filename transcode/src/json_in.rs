//! JSON to protobuf wire bytes.

mod any;
mod field;
mod value;
mod wkt;

pub(crate) use wkt::{is_text, put_text};

use crate::{
    InputError, MAX_DEPTH, MessageId, Schema,
    bound::{Bound, Set},
    cursor::{Cursor, too_deep},
    mask::Mask,
    schema::{Field, Form, Message},
};

type Result<T> = std::result::Result<T, InputError>;

/// Turns JSON into protobuf wire bytes. Keeps its scratch memory: use one for many messages.
#[derive(Debug, Default)]
pub struct Encoder {
    seen: Vec<u64>,
    pub(crate) mask: Mask,
    pub(crate) lenient: bool,
}

impl Encoder {
    /// An encoder that steps over unknown fields, query parameters and enum names instead of refusing them.
    pub fn lenient() -> Self {
        Self {
            lenient: true,
            ..Self::default()
        }
    }

    /// Appends the message that `json` stands for.
    ///
    /// # Errors
    /// Where `json` is malformed or does not fit the message; `out` then holds part of it.
    pub fn message(
        &mut self,
        schema: &Schema,
        id: MessageId,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.whole(schema, id, &Bound::default(), json, out)
    }

    /// As [`Self::message`]; fields in `bound` must not occur.
    pub(crate) fn whole(
        &mut self,
        schema: &Schema,
        id: MessageId,
        bound: &Bound,
        json: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut run = self.run(schema, json, out, false)?;
        run.message(id, Some(bound), 0)?;
        run.cursor.end()
    }

    /// Appends one field of a message, with `json` as its value. Gathers the mask where `masked`.
    pub(crate) fn field(
        &mut self,
        schema: &Schema,
        field: &Field,
        bound: Option<&Bound>,
        json: &[u8],
        out: &mut Vec<u8>,
        masked: bool,
    ) -> Result<()> {
        self.mask.clear();
        let mut run = self.run(schema, json, out, masked)?;
        if !run.is_unset(field)? {
            run.value_of(field, bound, 0)?;
        }
        run.cursor.end()
    }

    fn run<'r>(
        &'r mut self,
        schema: &'r Schema,
        json: &'r [u8],
        out: &'r mut Vec<u8>,
        masked: bool,
    ) -> Result<Run<'r>> {
        self.seen.clear();
        Ok(Run {
            schema,
            cursor: Cursor::new(json)?,
            out,
            seen: &mut self.seen,
            mask: masked.then_some(&mut self.mask),
            lenient: self.lenient,
            anys: 0,
        })
    }
}

/// One JSON text on its way.
struct Run<'r> {
    schema: &'r Schema,
    cursor: Cursor<'r>,
    out: &'r mut Vec<u8>,
    /// A bit for each field of each open message: set where the field has a value.
    seen: &'r mut Vec<u64>,
    mask: Option<&'r mut Mask>,
    lenient: bool,
    /// `google.protobuf.Any`s around this place.
    anys: u32,
}

impl<'r> Run<'r> {
    /// The content of a message, without tag and length. `depth` counts messages around it.
    fn message(&mut self, id: MessageId, bound: Option<&Bound>, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let schema = self.schema;
        let message = schema.message(id);
        match message.form {
            Form::Plain | Form::Empty => self.object(message, bound, depth, false),
            Form::Any => self.any(depth),
            Form::Struct => self.structure(depth),
            Form::Value => self.value(depth),
            Form::ListValue => self.list_value(depth),
            form => self.textual(form),
        }
    }

    /// The fields of an object. In an Any's, `@type` is stepped over.
    fn object(
        &mut self,
        message: &Message,
        bound: Option<&Bound>,
        depth: u32,
        any: bool,
    ) -> Result<()> {
        let base = self.seen.len();
        self.seen
            .resize(base + message.fields.len().div_ceil(64), 0);
        self.cursor.open_object()?;
        let mut first = true;
        let mut next = 0;
        loop {
            let expected = message.fields.get(usize::from(next));
            let expected = expected
                .is_some_and(|field| self.cursor.expected_key(&field.label, &mut first))
                .then_some(next);
            let found = match expected {
                Some(index) => index,
                None => {
                    let Some(key) = self.cursor.key(&mut first)? else {
                        break;
                    };
                    match message.field_after(next, &key) {
                        Some(index) => index,
                        None if self.lenient || (any && key == "@type") => {
                            self.cursor.skip(depth)?;
                            continue;
                        }
                        None => return Err(InputError::new("is not known").in_field(&key)),
                    }
                }
            };
            next = found + 1;
            let field = message.field(found);
            self.member(message, found, base, bound, depth)
                .map_err(|error| error.in_field(&field.json_name))?;
        }
        self.seen.truncate(base);
        Ok(())
    }

    fn member(
        &mut self,
        message: &Message,
        index: u16,
        base: usize,
        bound: Option<&Bound>,
        depth: u32,
    ) -> Result<()> {
        let field = message.field(index);
        if self.is_unset(field)? {
            if let Some(mask) = &mut self.mask {
                let before = mask.enter(field);
                mask.add();
                mask.leave(before);
            }
            return Ok(());
        }
        let (word, bit) = (base + usize::from(index) / 64, 1 << (index % 64));
        if self.seen[word] & bit != 0 {
            return Err(InputError::new("occurs twice"));
        }
        self.seen[word] |= bit;
        if let Some(oneof) = field.oneof {
            self.check_oneof(message, oneof, index, base, bound)?;
        }
        let parts = match bound.map_or(Set::No, |bound| bound.find(index)) {
            Set::No => None,
            Set::InParts(parts) => Some(parts),
            Set::Whole => return Err(InputError::new("is set by the path or a header already")),
        };
        let entered = self.mask.as_mut().map(|mask| mask.enter(field));
        self.value_of(field, parts, depth)?;
        if let (Some(before), Some(mask)) = (entered, &mut self.mask) {
            mask.leave(before);
        }
        Ok(())
    }

    #[cold]
    fn check_oneof(
        &self,
        message: &Message,
        oneof: u16,
        index: u16,
        base: usize,
        bound: Option<&Bound>,
    ) -> Result<()> {
        let (name, members) = &message.oneofs[usize::from(oneof)];
        for &member in members.iter().filter(|member| **member != index) {
            let (word, bit) = (base + usize::from(member) / 64, 1u64 << (member % 64));
            let in_path = bound.is_some_and(|bound| !matches!(bound.find(member), Set::No));
            if self.seen[word] & bit != 0 || in_path {
                return Err(InputError::new(format!(
                    "{:?} is set already, and only one of {name:?} may be",
                    message.field(member).json_name
                )));
            }
        }
        Ok(())
    }
}

//! JSON to protobuf wire bytes.

mod any;
mod value;
mod wkt;

pub(crate) use wkt::{is_text, put_text};

use crate::{
    InputError, MAX_DEPTH, MessageId, Schema,
    bound::{Bound, Set},
    cursor::{Cursor, too_deep},
    mask::Mask,
    scalar::{self, Written},
    schema::{Field, Form, Kind, Message, Shape},
    wire,
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
        while let Some(key) = self.cursor.key(&mut first)? {
            match message.field_named(&key) {
                Some(index) => {
                    let field = message.field(index);
                    self.member(message, index, base, bound, depth)
                        .map_err(|error| error.in_field(&field.json_name))?;
                }
                None if self.lenient || (any && key == "@type") => self.cursor.skip(depth)?,
                None => return Err(InputError::new("is not known").in_field(&key)),
            }
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
            Set::Whole => return Err(InputError::new("is set by the path already")),
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

    /// Consumes a null that means that the field is not set.
    fn is_unset(&mut self, field: &Field) -> Result<bool> {
        if self.cursor.peek() != Some(b'n') || self.takes_null(field) {
            return Ok(false);
        }
        self.cursor.null()
    }

    /// Null is a value of `google.protobuf.Value` and of `NullValue`.
    fn takes_null(&self, field: &Field) -> bool {
        match (field.shape, field.kind) {
            (Shape::List { .. } | Shape::Map, _) => false,
            (_, Kind::Message(id)) => self.schema.message(id).form == Form::Value,
            (_, Kind::Enum(id)) => self.schema.enumeration(id).null,
            _ => false,
        }
    }

    /// A field with its tag. Adds its path to the mask, or those of its parts.
    fn value_of(&mut self, field: &Field, parts: Option<&Bound>, depth: u32) -> Result<()> {
        let descends = match (field.shape, field.kind) {
            (Shape::Implicit | Shape::Explicit, Kind::Message(id)) => {
                self.schema.message(id).form == Form::Plain && self.has_members()
            }
            _ => false,
        };
        let mask = match &mut self.mask {
            Some(mask) if !descends => {
                mask.add();
                self.mask.take() // What is inside adds no path.
            }
            _ => None,
        };
        match field.shape {
            Shape::Implicit => self.singular(field, false, parts, depth)?,
            Shape::Explicit => self.singular(field, true, parts, depth)?,
            Shape::List { packed: true } => self.packed(field)?,
            Shape::List { packed: false } => self.list(field, depth)?,
            Shape::Map => self.map(field, depth)?,
        }
        if mask.is_some() {
            self.mask = mask;
        }
        Ok(())
    }

    /// Whether an object with at least one member stands next.
    fn has_members(&self) -> bool {
        if self.mask.is_none() {
            return true;
        }
        let mut ahead = self.cursor.clone();
        ahead.open_object().is_ok() && !matches!(ahead.peek(), Some(b'}'))
    }

    #[inline]
    fn singular(
        &mut self,
        field: &Field,
        presence: bool,
        parts: Option<&Bound>,
        depth: u32,
    ) -> Result<()> {
        let start = self.out.len();
        wire::put_tag(self.out, field.number, field.kind.wire_type());
        let written = match field.kind {
            Kind::Message(id) => {
                self.nested(id, parts, depth)?;
                return Ok(());
            }
            Kind::Group(id) => {
                self.message(id, parts, depth + 1)?;
                wire::put_tag(self.out, field.number, wire::GROUP + 1);
                return Ok(());
            }
            kind => self.scalar(kind)?,
        };
        if written == Written::Ignored || (written == Written::Zero && !presence) {
            self.out.truncate(start);
        }
        Ok(())
    }

    fn nested(&mut self, id: MessageId, parts: Option<&Bound>, depth: u32) -> Result<()> {
        let start = wire::open_length(self.out);
        self.message(id, parts, depth + 1)?;
        wire::close_length(self.out, start);
        Ok(())
    }

    /// A scalar without tag.
    #[inline]
    fn scalar(&mut self, kind: Kind) -> Result<Written> {
        match (self.cursor.peek(), kind) {
            (Some(b'"'), Kind::String) => self.string(),
            (Some(b'"'), _) => {
                let text = self.cursor.string()?;
                scalar::put_text(self.out, self.schema, kind, &text, self.lenient)
            }
            (Some(b't' | b'f'), Kind::Bool) => match self.cursor.boolean()? {
                Some(value) => Ok(scalar::put_bool(self.out, value)),
                None => Err(InputError::new(scalar::wanted(kind))),
            },
            (Some(b'-' | b'0'..=b'9'), _) => {
                let text = self.cursor.number()?;
                scalar::put_number(self.out, kind, text)
            }
            (Some(b'n'), Kind::Enum(id)) if self.schema.enumeration(id).null => {
                self.cursor.null()?;
                wire::put_varint(self.out, 0);
                Ok(Written::Zero)
            }
            (Some(b't' | b'f' | b'n' | b'{' | b'['), _) => {
                self.cursor.skip(0)?; // Malformed JSON is the graver fault.
                Err(InputError::new(scalar::wanted(kind)))
            }
            _ => Err(self.cursor.fault("a value")),
        }
    }

    /// A string, its escapes resolved on the way.
    #[inline]
    fn string(&mut self) -> Result<Written> {
        if let Some(plain) = self.cursor.plain_string()? {
            wire::put_varint(self.out, plain.len() as u64);
            self.out.extend_from_slice(plain.as_bytes());
            return Ok(if plain.is_empty() {
                Written::Zero
            } else {
                Written::Value
            });
        }
        let start = wire::open_length(self.out);
        self.cursor.unescape(self.out)?;
        wire::close_length(self.out, start);
        Ok(Written::Value)
    }

    fn packed(&mut self, field: &Field) -> Result<()> {
        let before = self.out.len();
        wire::put_tag(self.out, field.number, wire::LEN);
        let start = wire::open_length(self.out);
        self.elements(|run| run.scalar(field.kind).map(drop))?;
        if self.out.len() == start {
            self.out.truncate(before);
        } else {
            wire::close_length(self.out, start);
        }
        Ok(())
    }

    fn list(&mut self, field: &Field, depth: u32) -> Result<()> {
        self.elements(|run| run.element(field, depth))
    }

    /// One element or map value with its tag. It is written even where it is zero.
    fn element(&mut self, field: &Field, depth: u32) -> Result<()> {
        let before = self.out.len();
        let takes_null = match field.kind {
            Kind::Message(id) => self.schema.message(id).form == Form::Value,
            Kind::Enum(id) => self.schema.enumeration(id).null,
            _ => false,
        };
        if self.cursor.peek() == Some(b'n') && !takes_null {
            self.cursor.null()?;
            return Err(InputError::new("must not be null"));
        }
        match field.kind {
            Kind::Message(_) | Kind::Group(_) => self.singular(field, true, None, depth),
            kind => {
                wire::put_tag(self.out, field.number, kind.wire_type());
                if self.scalar(kind)? == Written::Ignored {
                    self.out.truncate(before);
                }
                Ok(())
            }
        }
    }

    fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        if self.cursor.peek() != Some(b'[') {
            self.cursor.skip(0)?;
            return Err(InputError::new("must be an array"));
        }
        self.cursor.open_array()?;
        let (mut first, mut index) = (true, 0);
        while self.cursor.element(&mut first)? {
            each(self).map_err(|error| error.in_index(index))?;
            index += 1;
        }
        Ok(())
    }

    fn map(&mut self, field: &Field, depth: u32) -> Result<()> {
        let Kind::Message(entry) = field.kind else {
            return Err(InputError::new("is no map"));
        };
        let entry = self.schema.message(entry);
        let [key_field, value_field] = &entry.fields[..] else {
            return Err(InputError::new("is no map"));
        };
        if depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        if self.cursor.peek() != Some(b'{') {
            self.cursor.skip(0)?;
            return Err(InputError::new(scalar::wanted(field.kind)));
        }
        self.cursor.open_object()?;
        let mut first = true;
        while let Some(key) = self.cursor.key(&mut first)? {
            let before = self.out.len();
            wire::put_tag(self.out, field.number, wire::LEN);
            let start = wire::open_length(self.out);
            wire::put_tag(self.out, 1, key_field.kind.wire_type());
            scalar::put_parameter(self.out, self.schema, key_field.kind, &key, false)
                .map_err(|error| error.in_key(&key))?;
            let value = self.out.len();
            self.element(value_field, depth + 1)
                .map_err(|error| error.in_key(&key))?;
            if self.out.len() == value {
                self.out.truncate(before); // An enum name that is not known.
            } else {
                wire::close_length(self.out, start);
            }
        }
        Ok(())
    }
}

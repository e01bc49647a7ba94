//! One field's value: singular, list or map.

use super::{Result, Run};
use crate::{
    InputError, MAX_DEPTH, MessageId,
    bound::Bound,
    cursor::too_deep,
    scalar::{self, Written},
    schema::{Field, Form, Kind, Shape},
    wire,
};

impl Run<'_> {
    /// Consumes a null that means that the field is not set.
    #[inline]
    pub(super) fn is_unset(&mut self, field: &Field) -> Result<bool> {
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
    #[inline]
    pub(super) fn value_of(
        &mut self,
        field: &Field,
        parts: Option<&Bound>,
        depth: u32,
    ) -> Result<()> {
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

    #[inline(always)]
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
    #[inline(always)]
    pub(super) fn scalar(&mut self, kind: Kind) -> Result<Written> {
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

    pub(super) fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
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

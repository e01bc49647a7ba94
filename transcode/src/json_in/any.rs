//! `google.protobuf.Any` from JSON: the type may stand anywhere in the object.

use std::borrow::Cow;

use super::{Result, Run};
use crate::{
    InputError, MAX_DEPTH,
    cursor::too_deep,
    schema::Form,
    wire::{self, put_bytes},
};

/// Most Anys within each other. Each is looked through for its type before it is read, which must not add up.
const MAX_NESTED_ANYS: u32 = 8;

impl<'r> Run<'r> {
    /// The content of an Any, without tag and length.
    pub(super) fn any(&mut self, depth: u32) -> Result<()> {
        if depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        if self.anys == MAX_NESTED_ANYS {
            let problem = format!("has more than {MAX_NESTED_ANYS} Anys within each other");
            return Err(InputError::new(problem));
        }
        self.anys += 1;
        let outcome = self.typed(depth);
        self.anys -= 1;
        outcome
    }

    fn typed(&mut self, depth: u32) -> Result<()> {
        let start = self.cursor.position();
        let Some(url) = self.find_type(depth)? else {
            return Ok(()); // `{}` is an empty Any; find_type has consumed it.
        };
        self.cursor.go_back(start);
        let in_type = |problem: String| InputError::new(problem).in_field("@type");
        let name = url.rsplit('/').next().unwrap_or_default();
        if !url.contains('/') {
            return Err(in_type(format!("{url:?} is no type URL")));
        }
        let schema = self.schema;
        let id = schema
            .message_id(name)
            .ok_or_else(|| in_type(format!("{name:?} is no known message")))?;
        put_bytes(self.out, 1, url.as_bytes());
        let before = self.out.len();
        wire::put_tag(self.out, 2, wire::LEN);
        let content = wire::open_length(self.out);
        let message = schema.message(id);
        match message.form {
            Form::Plain => self.object(message, None, depth + 1, true)?,
            _ => self.boxed(id, depth + 1)?,
        }
        if self.out.len() == content {
            self.out.truncate(before);
        } else {
            wire::close_length(self.out, content);
        }
        Ok(())
    }

    /// Looks for `@type` in the object that stands next. Consumes some or all of it.
    fn find_type(&mut self, depth: u32) -> Result<Option<Cow<'r, str>>> {
        self.cursor.open_object()?;
        let (mut first, mut empty) = (true, true);
        while let Some(key) = self.cursor.key(&mut first)? {
            if key == "@type" {
                let url = self.cursor.string();
                return url.map(Some).map_err(|error| error.in_field("@type"));
            }
            empty = false;
            self.cursor.skip(depth)?;
        }
        if empty {
            Ok(None)
        } else {
            Err(InputError::new("is missing").in_field("@type"))
        }
    }

    /// A message whose JSON is no plain object stands in `value`.
    fn boxed(&mut self, id: crate::MessageId, depth: u32) -> Result<()> {
        self.cursor.open_object()?;
        let (mut first, mut found) = (true, false);
        while let Some(key) = self.cursor.key(&mut first)? {
            match &*key {
                "value" if found => return Err(InputError::new("occurs twice").in_field("value")),
                "value" => {
                    found = true;
                    self.message(id, None, depth)
                        .map_err(|error| error.in_field("value"))?;
                }
                "@type" => self.cursor.skip(depth)?,
                _ if self.lenient => self.cursor.skip(depth)?,
                _ => return Err(InputError::new("is not known").in_field(&key)),
            }
        }
        if found {
            Ok(())
        } else {
            Err(InputError::new("is missing").in_field("value"))
        }
    }
}

//! `google.protobuf.Struct`, `Value` and `ListValue` from JSON: any JSON at all.

use super::{Result, Run};
use crate::{
    InputError, MAX_DEPTH,
    cursor::too_deep,
    number, scalar,
    schema::Kind,
    wire::{self, put_varint},
};

/// Field numbers of `google.protobuf.Value`.
const NULL: u32 = 1;
const NUMBER: u32 = 2;
const STRING: u32 = 3;
const BOOL: u32 = 4;
const STRUCT: u32 = 5;
const LIST: u32 = 6;

impl Run<'_> {
    /// The content of a Struct, without tag and length.
    pub(super) fn structure(&mut self, depth: u32) -> Result<()> {
        // Each member is a map entry with a Value in it: two messages deeper.
        if depth + 2 > MAX_DEPTH {
            return Err(too_deep());
        }
        if self.cursor.peek() != Some(b'{') {
            self.cursor.skip(0)?;
            return Err(InputError::new("must be an object"));
        }
        self.cursor.open_object()?;
        let mut first = true;
        while let Some(key) = self.cursor.key(&mut first)? {
            wire::put_tag(self.out, 1, wire::LEN);
            let entry = wire::open_length(self.out);
            wire::put_bytes(self.out, 1, key.as_bytes());
            wire::put_tag(self.out, 2, wire::LEN);
            let value = wire::open_length(self.out);
            self.value(depth + 2).map_err(|error| error.in_key(&key))?;
            wire::close_length(self.out, value);
            wire::close_length(self.out, entry);
        }
        Ok(())
    }

    /// The content of a ListValue, without tag and length.
    pub(super) fn list_value(&mut self, depth: u32) -> Result<()> {
        self.elements(|run| {
            wire::put_tag(run.out, 1, wire::LEN);
            let value = wire::open_length(run.out);
            run.value(depth + 1)?;
            wire::close_length(run.out, value);
            Ok(())
        })
    }

    /// The content of a Value, without tag and length.
    pub(super) fn value(&mut self, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        match self.cursor.peek() {
            Some(b'n') => {
                self.cursor.null()?;
                wire::put_tag(self.out, NULL, wire::VARINT);
                put_varint(self.out, 0);
            }
            Some(b't' | b'f') => {
                let value = self.cursor.boolean()?.unwrap_or_default();
                wire::put_tag(self.out, BOOL, wire::VARINT);
                scalar::put_bool(self.out, value);
            }
            Some(b'"') => {
                wire::put_tag(self.out, STRING, wire::LEN);
                self.scalar(Kind::String)?;
            }
            Some(b'{') => {
                wire::put_tag(self.out, STRUCT, wire::LEN);
                let start = wire::open_length(self.out);
                self.structure(depth + 1)?;
                wire::close_length(self.out, start);
            }
            Some(b'[') => {
                wire::put_tag(self.out, LIST, wire::LEN);
                let start = wire::open_length(self.out);
                self.list_value(depth + 1)?;
                wire::close_length(self.out, start);
            }
            _ => {
                let value = number::double(self.cursor.number()?).map_err(InputError::new)?;
                wire::put_tag(self.out, NUMBER, wire::FIXED64);
                self.out.extend_from_slice(&value.to_le_bytes());
            }
        }
        Ok(())
    }
}

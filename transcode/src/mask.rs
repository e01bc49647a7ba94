//! The field mask that a PATCH means: the fields that its JSON names.

use crate::{
    schema::Field,
    wire::{self, put_bytes},
};

/// Gathers the paths of a `google.protobuf.FieldMask` while the body is read.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// The mask so far, in wire format.
    wire: Vec<u8>,
    prefix: String,
}

impl Mask {
    pub(crate) fn clear(&mut self) {
        self.wire.clear();
        self.prefix.clear();
    }

    /// Goes into a field; give what it returns to [`Self::leave`].
    pub(crate) fn enter(&mut self, field: &Field) -> usize {
        let before = self.prefix.len();
        if before > 0 {
            self.prefix.push('.');
        }
        self.prefix.push_str(&field.name);
        before
    }

    pub(crate) fn leave(&mut self, before: usize) {
        self.prefix.truncate(before);
    }

    /// Adds the path of the field that was entered last.
    pub(crate) fn add(&mut self) {
        if !self.prefix.is_empty() {
            put_bytes(&mut self.wire, 1, self.prefix.as_bytes());
        }
    }

    /// Writes the mask as field `number`, also where it is empty: then nothing is to change.
    pub(crate) fn put(&self, out: &mut Vec<u8>, number: u32) {
        put_bytes(out, number, &self.wire);
    }
}

/// Paths from `snake_case` to `lowerCamelCase`; false where the way back would differ.
pub(crate) fn put_camel(out: &mut Vec<u8>, path: &str) -> bool {
    let mut upper = false;
    for byte in path.bytes() {
        match byte {
            b'_' if !upper => upper = true,
            b'_' | b'A'..=b'Z' => return false,
            _ if upper => {
                if !byte.is_ascii_lowercase() {
                    return false;
                }
                out.push(byte.to_ascii_uppercase());
                upper = false;
            }
            _ => out.push(byte),
        }
    }
    !upper
}

/// Writes the paths of a comma-separated mask, from `lowerCamelCase` to `snake_case`; false where one has a `_`.
pub(crate) fn put_paths(out: &mut Vec<u8>, text: &str) -> bool {
    for path in text.split(',').filter(|path| !path.is_empty()) {
        wire::put_tag(out, 1, wire::LEN);
        let start = wire::open_length(out);
        for byte in path.bytes() {
            match byte {
                b'_' => return false,
                b'A'..=b'Z' => out.extend_from_slice(&[b'_', byte.to_ascii_lowercase()]),
                _ => out.push(byte),
            }
        }
        wire::close_length(out, start);
    }
    true
}

//! Well-known types to JSON.

use super::{
    Printer, Result, merge,
    repeated::{comma, key_and_value},
    scalar,
};
use crate::{
    MAX_DEPTH, OutputError, mask,
    schema::{Form, Schema},
    text,
    time::{self, Time},
    wire::{self, Raw, Records},
};

impl Printer {
    pub(super) fn well_known(
        &mut self,
        schema: &Schema,
        form: Form,
        wire: &[u8],
        out: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        match form {
            Form::Any => self.any(schema, wire, out, depth),
            Form::Struct => self.structure(wire, out, depth),
            Form::Value => self.json_value(wire, out, depth),
            Form::ListValue => self.list_value(wire, out, depth),
            Form::FieldMask => put_mask(wire, out),
            Form::Wrapper(kind) => {
                let mut value = scalar::zero(kind);
                let mut records = Records::new(wire);
                while let Some((number, raw)) = records.next()? {
                    if number == 1 {
                        value = raw;
                    }
                }
                self.scalar(schema, kind, value, out)
            }
            Form::Timestamp => put_time(wire, out, time::put_timestamp),
            Form::Duration => put_time(wire, out, time::put_duration),
            Form::Plain | Form::Empty => Err(OutputError::Malformed("well-known type")),
        }
    }

    /// Types that the schema does not know stay readable for programs: their bytes in base64.
    fn any(&mut self, schema: &Schema, wire: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<()> {
        let (mut url, mut content) = ("", &[][..]);
        let mut records = Records::new(wire);
        while let Some(record) = records.next()? {
            match record {
                (1, Raw::Bytes(bytes)) => url = wire::utf8(bytes)?,
                (2, Raw::Bytes(bytes)) => content = bytes,
                _ => {}
            }
        }
        if url.is_empty() {
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        out.extend_from_slice(b"{\"@type\":");
        text::put_string(out, url);
        let id = schema.message_id(url.rsplit('/').next().unwrap_or_default());
        match id.map(|id| (id, schema.message(id))) {
            None => {
                out.extend_from_slice(b",\"value\":");
                scalar::put_base64(out, content)?;
            }
            Some((_, message)) if message.form == Form::Plain => {
                if depth >= MAX_DEPTH {
                    return Err(OutputError::Malformed("it is nested too deep"));
                }
                self.members(schema, message, content, out, depth + 1, false)?;
            }
            Some((id, _)) => {
                out.extend_from_slice(b",\"value\":");
                self.nested(schema, id, content, out, depth + 1)?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn structure(&self, wire: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<()> {
        out.push(b'{');
        let mut first = true;
        let mut records = Records::new(wire);
        while let Some((number, raw)) = records.next()? {
            if number != 1 {
                continue;
            }
            let Raw::Bytes(entry) = raw else {
                return Err(OutputError::Malformed("map entry"));
            };
            let (key, value, parts) = key_and_value(entry)?;
            comma(out, &mut first);
            match key {
                Some(Raw::Bytes(key)) => text::put_string(out, wire::utf8(key)?),
                _ => text::put_string(out, ""),
            }
            out.push(b':');
            match value {
                Some(Raw::Bytes(_)) if parts => {
                    self.json_value(&merge(2, entry)?, out, depth + 2)?;
                }
                Some(Raw::Bytes(value)) => self.json_value(value, out, depth + 2)?,
                _ => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn list_value(&self, wire: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<()> {
        out.push(b'[');
        let mut first = true;
        let mut records = Records::new(wire);
        while let Some((number, raw)) = records.next()? {
            if let (1, Raw::Bytes(value)) = (number, raw) {
                comma(out, &mut first);
                self.json_value(value, out, depth + 1)?;
            }
        }
        out.push(b']');
        Ok(())
    }

    fn json_value(&self, wire: &[u8], out: &mut Vec<u8>, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(OutputError::Malformed("it is nested too deep"));
        }
        // Of a message that comes several times in a row: where it first comes and how often.
        let (mut last, mut first, mut count) = (None, 0, 0);
        let mut records = Records::new(wire);
        let mut start = 0;
        while let Some((number, raw)) = records.next()? {
            // Other numbers are unknown fields.
            if (1..=6).contains(&number) {
                if last.is_none_or(|(before, _)| before != number) {
                    (first, count) = (start, 0);
                }
                count += 1;
                last = Some((number, raw));
            }
            start = records.position();
        }
        let merged;
        if let Some((number @ (5 | 6), _)) = last
            && count > 1
        {
            merged = merge(number, &wire[first..])?;
            last = Some((number, Raw::Bytes(&merged)));
        }
        match last {
            None | Some((1, _)) => out.extend_from_slice(b"null"),
            Some((2, Raw::Fixed64(bits))) => {
                let value = f64::from_bits(bits);
                if !value.is_finite() {
                    return Err(OutputError::NoJson("a Value is no finite number"));
                }
                text::put_double(out, value);
            }
            Some((3, Raw::Bytes(bytes))) => text::put_string(out, wire::utf8(bytes)?),
            Some((4, Raw::Varint(value))) => {
                out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
            }
            Some((5, Raw::Bytes(bytes))) => self.structure(bytes, out, depth + 1)?,
            Some((6, Raw::Bytes(bytes))) => self.list_value(bytes, out, depth + 1)?,
            Some(_) => return Err(OutputError::Malformed("Value")),
        }
        Ok(())
    }
}

fn put_mask(wire: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.push(b'"');
    let mut first = true;
    let mut records = Records::new(wire);
    while let Some((number, raw)) = records.next()? {
        if let (1, Raw::Bytes(path)) = (number, raw) {
            comma(out, &mut first);
            let path = wire::utf8(path)?;
            // An empty one would not be read again.
            let plain = !path.is_empty()
                && path
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.".contains(&b));
            if !plain || !mask::put_camel(out, path) {
                return Err(OutputError::NoJson(
                    "a path of a mask has no camelCase form",
                ));
            }
        }
    }
    out.push(b'"');
    Ok(())
}

fn put_time(
    wire: &[u8],
    out: &mut Vec<u8>,
    put: impl Fn(&mut Vec<u8>, Time) -> bool,
) -> Result<()> {
    let mut time = Time::default();
    let mut records = Records::new(wire);
    while let Some(record) = records.next()? {
        match record {
            (1, Raw::Varint(value)) => time.seconds = value as i64,
            (2, Raw::Varint(value)) => time.nanos = value as i32,
            _ => {}
        }
    }
    out.push(b'"');
    if !put(out, time) {
        return Err(OutputError::NoJson("a time or duration is out of range"));
    }
    out.push(b'"');
    Ok(())
}

//! Well-known types that are a string or a scalar in JSON.

use super::{Result, Run};
use crate::{
    InputError, mask,
    scalar::{self, Written},
    schema::{Form, Kind, Schema},
    time::{self, Time},
    wire::{self, put_varint},
};

impl Run<'_> {
    /// The content of a Timestamp, Duration, FieldMask or wrapper, without tag and length.
    pub(super) fn textual(&mut self, form: Form) -> Result<()> {
        if let Form::Wrapper(kind) = form {
            let start = self.out.len();
            wire::put_tag(self.out, 1, kind.wire_type());
            if self.scalar(kind)? != Written::Value {
                self.out.truncate(start);
            }
            return Ok(());
        }
        if self.cursor.peek() != Some(b'"') {
            self.cursor.skip(0)?;
            return Err(InputError::new(wanted(form)));
        }
        let text = self.cursor.string()?;
        put_text(self.out, self.schema, form, &text, self.lenient)
    }
}

/// Writes the content of a message whose JSON is text, also from paths and queries; refuses all others.
pub(crate) fn put_text(
    out: &mut Vec<u8>,
    schema: &Schema,
    form: Form,
    text: &str,
    lenient: bool,
) -> Result<()> {
    let done = match form {
        Form::Timestamp => time::timestamp(text).map(|time| put_time(out, time)),
        Form::Duration => time::duration(text).map(|span| put_time(out, span)),
        Form::FieldMask => mask::put_paths(out, text).then_some(()),
        Form::Wrapper(kind) => {
            let start = out.len();
            wire::put_tag(out, 1, kind.wire_type());
            if scalar::put_parameter(out, schema, kind, text, lenient)? != Written::Value {
                out.truncate(start);
            }
            Some(())
        }
        _ => None,
    };
    done.ok_or_else(|| InputError::new(wanted(form)))
}

/// Whether [`put_text`] takes the form.
pub(crate) fn is_text(form: Form) -> bool {
    matches!(
        form,
        Form::Timestamp | Form::Duration | Form::FieldMask | Form::Wrapper(_)
    )
}

fn put_time(out: &mut Vec<u8>, time: Time) {
    for (number, value) in [(1, time.seconds), (2, i64::from(time.nanos))] {
        if value != 0 {
            wire::put_tag(out, number, wire::VARINT);
            put_varint(out, value as u64);
        }
    }
}

fn wanted(form: Form) -> &'static str {
    match form {
        Form::Timestamp => "must be a time such as 2026-11-20T12:30:00Z",
        Form::Duration => "must be a duration such as 1.5s",
        Form::FieldMask => "must be names of fields in lowerCamelCase with commas between",
        Form::Wrapper(kind) => scalar::wanted(kind),
        _ => scalar::wanted(Kind::String),
    }
}

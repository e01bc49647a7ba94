//! Query parameters to fields.

use std::borrow::Cow;

use crate::{
    Binding, InputError, MAX_QUERY_PARAMETERS, Schema,
    bound::{self, Step},
    json_in::{is_text, put_text},
    path,
    scalar::{self, Written},
    schema::{Field, Kind, Shape},
    wire,
};

type Result<T> = std::result::Result<T, InputError>;

/// Appends the fields that the parameters set, and notes them in `taken`.
pub(crate) fn encode(
    binding: &Binding,
    schema: &Schema,
    query: &str,
    lenient: bool,
    taken: &mut Taken<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    for (count, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if count >= MAX_QUERY_PARAMETERS {
            return Err(InputError::new(format!(
                "has more than {MAX_QUERY_PARAMETERS} parameters"
            )));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = form_decode(name)?;
        parameter(binding, schema, &name, value, lenient, taken, out)
            .map_err(|error| error.in_field(&json_path(schema, binding, &name)))?;
    }
    Ok(())
}

fn parameter(
    binding: &Binding,
    schema: &Schema,
    name: &str,
    value: &str,
    lenient: bool,
    taken: &mut Taken<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let value = form_decode(value)?;
    let path = match bound::resolve(schema, binding.request, name) {
        Ok(path) => path,
        Err(_) if lenient => return Ok(()),
        Err(_) => return Err(InputError::new("is not known")),
    };
    let first = path[0].field;
    if binding.takes_from_body(first) {
        return Err(InputError::new(
            "is taken from the body, not from the query",
        ));
    }
    let last = path[path.len() - 1];
    let field = schema.message(last.message).field(last.field);
    if !is_textual(schema, field) {
        return Err(InputError::new("cannot stand in a query"));
    }
    let repeated = matches!(field.shape, Shape::List { .. });
    taken.check(schema, &path, repeated)?;
    put_path(out, schema, &path, &value, lenient)?;
    if !taken.paths.iter().any(|other| **other == *path) {
        taken.paths.push(Cow::Owned(path.into_vec()));
    }
    Ok(())
}

/// Whether text can stand for one value of the field.
pub(crate) fn is_textual(schema: &Schema, field: &Field) -> bool {
    match field.kind {
        _ if field.shape == Shape::Map => false,
        Kind::Message(id) => is_text(schema.message(id).form),
        Kind::Group(_) => false,
        _ => true,
    }
}

/// Fields that are set already.
#[derive(Debug, Default)]
pub(crate) struct Taken<'b> {
    paths: Vec<Cow<'b, [Step]>>,
    /// How many of them nothing may be appended to: they come from path, body or headers.
    fixed: usize,
}

impl<'b> Taken<'b> {
    /// Notes a field that path, body or a header sets.
    pub(crate) fn fix(&mut self, path: impl Into<Cow<'b, [Step]>>) {
        self.paths.push(path.into());
        self.fixed = self.paths.len();
    }

    /// Whether `field` of the request, or a part of it, is among them.
    pub(crate) fn touches(&self, field: u16) -> bool {
        self.paths.iter().any(|path| path[0].field == field)
    }

    /// Refuses a path that sets what another has set, or another field of the same oneof.
    pub(crate) fn check(&self, schema: &Schema, path: &[Step], repeated: bool) -> Result<()> {
        for (index, other) in self.paths.iter().enumerate() {
            let common = other
                .iter()
                .zip(path.iter())
                .take_while(|(a, b)| a == b)
                .count();
            match (other.get(common), path.get(common)) {
                (Some(a), Some(b)) => {
                    let message = schema.message(a.message);
                    let (a, b) = (message.field(a.field), message.field(b.field));
                    if let Some(oneof) = b.oneof.filter(|_| a.oneof == b.oneof) {
                        let (name, _) = &message.oneofs[usize::from(oneof)];
                        return Err(InputError::new(format!(
                            "{:?} is set already, and only one of {name:?} may be",
                            a.json_name
                        )));
                    }
                }
                (None, None) if repeated && index >= self.fixed => {}
                (None, None) => return Err(InputError::new("is set twice")),
                _ => return Err(InputError::new("is set twice, once in part")),
            }
        }
        Ok(())
    }
}

/// Writes the value at a path, with the messages around it. Parts of one message may come apart: decoders merge them.
pub(crate) fn put_path(
    out: &mut Vec<u8>,
    schema: &Schema,
    path: &[Step],
    text: &str,
    lenient: bool,
) -> Result<()> {
    let [step, rest @ ..] = path else {
        return Ok(());
    };
    let field = schema.message(step.message).field(step.field);
    let start = out.len();
    wire::put_tag(out, field.number, field.kind.wire_type());
    match field.kind {
        Kind::Group(_) => {
            put_path(out, schema, rest, text, lenient)?;
            wire::put_tag(out, field.number, wire::GROUP + 1);
        }
        Kind::Message(id) => {
            let content = wire::open_length(out);
            if rest.is_empty() {
                put_text(out, schema, schema.message(id).form, text, lenient)?;
            } else {
                put_path(out, schema, rest, text, lenient)?;
            }
            wire::close_length(out, content);
        }
        kind => {
            let written = scalar::put_parameter(out, schema, kind, text, lenient)?;
            let left_out = written == Written::Zero && field.shape == Shape::Implicit;
            if left_out || written == Written::Ignored {
                out.truncate(start);
            }
        }
    }
    Ok(())
}

/// A parameter's name as the JSON path of its field, where it has one.
fn json_path(schema: &Schema, binding: &Binding, name: &str) -> String {
    match bound::resolve(schema, binding.request, name) {
        Err(_) => name.to_owned(),
        Ok(path) => bound::json_name(schema, &path),
    }
}

/// Percent escapes, and `+` for a space.
fn form_decode(text: &str) -> Result<Cow<'_, str>> {
    if !text.contains('+') {
        return path::decode(text, false);
    }
    let spaced = text.replace('+', " ");
    let decoded = path::decode(&spaced, false)?.into_owned();
    Ok(Cow::Owned(decoded))
}

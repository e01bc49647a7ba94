//! Query parameters to fields.

use std::borrow::Cow;

use crate::{
    Binding, InputError, MAX_QUERY_PARAMETERS, Schema,
    bound::{self, FieldPath, Step},
    json_in::{is_text, put_text},
    path,
    scalar::{self, Written},
    schema::{Kind, Shape},
    wire,
};

type Result<T> = std::result::Result<T, InputError>;

/// Appends the fields that the parameters set. Returns whether one of them sets the update mask.
pub(crate) fn encode(
    binding: &Binding,
    schema: &Schema,
    query: &str,
    has_body: bool,
    lenient: bool,
    out: &mut Vec<u8>,
) -> Result<bool> {
    if query.is_empty() {
        return Ok(false);
    }
    let mut taken: Vec<Cow<'_, [Step]>> = binding
        .variables
        .iter()
        .map(|variable| Cow::Borrowed(&*variable.path))
        .collect();
    if let crate::Body::Field(field) = binding.body
        && has_body
    {
        let message = binding.request;
        taken.push(Cow::Owned(vec![Step { message, field }]));
    }
    let mut sets_mask = false;
    for (count, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if count >= MAX_QUERY_PARAMETERS {
            return Err(InputError::new(format!(
                "has more than {MAX_QUERY_PARAMETERS} parameters"
            )));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = form_decode(name)?;
        let set = parameter(binding, schema, &name, value, lenient, &mut taken, out)
            .map_err(|error| error.in_field(&json_path(schema, binding, &name)))?;
        sets_mask |= set;
    }
    Ok(sets_mask)
}

fn parameter(
    binding: &Binding,
    schema: &Schema,
    name: &str,
    value: &str,
    lenient: bool,
    taken: &mut Vec<Cow<'_, [Step]>>,
    out: &mut Vec<u8>,
) -> Result<bool> {
    let value = form_decode(value)?;
    let path = match bound::resolve(schema, binding.request, name) {
        Ok(path) => path,
        Err(_) if lenient => return Ok(false),
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
    let textual = match field.kind {
        Kind::Message(id) => is_text(schema.message(id).form),
        Kind::Group(_) => false,
        _ => true,
    };
    if !textual || field.shape == Shape::Map {
        return Err(InputError::new("cannot stand in a query"));
    }
    let repeated = matches!(field.shape, Shape::List { .. });
    check(schema, taken, &path, repeated)?;
    put_path(out, schema, &path, &value, lenient)?;
    if !taken.iter().any(|other| **other == *path) {
        taken.push(Cow::Owned(path.into_vec()));
    }
    Ok(binding.mask_field() == Some(first))
}

/// Refuses a path that sets what another has set, or another field of the same oneof.
fn check(
    schema: &Schema,
    taken: &[Cow<'_, [Step]>],
    path: &FieldPath,
    repeated: bool,
) -> Result<()> {
    for other in taken {
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
            (None, None) if repeated => {}
            (None, None) => return Err(InputError::new("is set twice")),
            _ => return Err(InputError::new("is set twice, once in part")),
        }
    }
    Ok(())
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

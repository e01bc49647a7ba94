//! Text with fields of a message in it: a Location header.

use std::borrow::Cow;

use crate::{
    BuildError, MessageId, OutputError, PrintOptions, Printer, Schema,
    bound::{self, FieldPath},
    schema::{Kind, Shape},
    wire::{self, Raw, Records},
};

/// A template such as `/v1/orders/{order.order_id}`, compiled for one message.
#[derive(Debug)]
pub struct TextTemplate(Vec<Part>);

#[derive(Debug)]
enum Part {
    Literal(Box<str>),
    Field(FieldPath),
}

impl TextTemplate {
    /// Compiles a template whose fields are singular scalars of `message`.
    ///
    /// # Errors
    /// [`BuildError::Rule`] names what the template gets wrong.
    pub fn compile(
        schema: &Schema,
        message: MessageId,
        template: &str,
    ) -> Result<Self, BuildError> {
        let fault = |problem: String| BuildError::Rule {
            method: schema.message(message).name.to_string(),
            problem: format!("template {template:?}: {problem}"),
        };
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (name, tail) = tail
                .split_once('}')
                .ok_or_else(|| fault("'{' without '}'".to_owned()))?;
            let path = bound::resolve(schema, message, name).map_err(fault)?;
            let last = path[path.len() - 1];
            let field = schema.message(last.message).field(last.field);
            let scalar = !matches!(field.kind, Kind::Message(_) | Kind::Group(_) | Kind::Bytes);
            if !scalar || !matches!(field.shape, Shape::Implicit | Shape::Explicit) {
                return Err(fault(format!("{name:?} is no singular scalar")));
            }
            parts.push(Part::Literal(literal.into()));
            parts.push(Part::Field(path));
            rest = tail;
        }
        parts.push(Part::Literal(rest.into()));
        Ok(Self(parts))
    }

    /// The text for one message, its values percent-encoded; `None` where a field is not there.
    ///
    /// # Errors
    /// Where the bytes are malformed.
    pub fn render(&self, schema: &Schema, wire: &[u8]) -> Result<Option<String>, OutputError> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Field(path) => match value(schema, path, wire)? {
                    Some(value) => percent_encode(&mut text, &value),
                    None => return Ok(None),
                },
            }
        }
        Ok(Some(text))
    }
}

fn value<'w>(
    schema: &Schema,
    path: &[bound::Step],
    wire: &'w [u8],
) -> Result<Option<Cow<'w, str>>, OutputError> {
    let Some((step, rest)) = path.split_first() else {
        return Ok(None);
    };
    let field = schema.message(step.message).field(step.field);
    let mut last = None;
    let mut records = Records::new(wire);
    while let Some((number, raw)) = records.next()? {
        if number == field.number {
            last = Some(raw);
        }
    }
    match (field.kind, last) {
        (_, None) => Ok(None),
        (Kind::Message(_), Some(Raw::Bytes(bytes))) | (Kind::Group(_), Some(Raw::Group(bytes))) => {
            value(schema, rest, bytes)
        }
        (Kind::String, Some(Raw::Bytes(bytes))) => Ok(Some(Cow::Borrowed(wire::utf8(bytes)?))),
        (kind, Some(raw)) => {
            let mut json = Vec::new();
            Printer::new(PrintOptions::default()).scalar(schema, kind, raw, &mut json)?;
            let text = wire::utf8(&json)?.trim_matches('"').to_owned();
            Ok(Some(Cow::Owned(text)))
        }
    }
}

/// Everything but unreserved characters (RFC 3986).
fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

//! One route of one method: which parts of a request become which fields.

use crate::{
    BuildError, Encoder, InputError, MessageId, Schema, Source,
    bound::{self, Bound, FieldPath, Step},
    header::{self, Header},
    path,
    query::{self, Taken},
    rule::{HeaderField, Rule},
    schema::{Form, Kind, Shape},
    template::{self, Template},
    wire::{self, put_bytes},
};

/// What a route takes from the HTTP body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a body is refused.
    None,
    /// The whole message, but for what the path sets.
    All,
    /// One field, by its index in the message's table.
    #[doc(hidden)]
    Field(u16),
}

/// The parts of an HTTP request that become a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// What follows the `?`, still encoded.
    pub query: &'a str,
    /// JSON, or anything where the route takes a `google.api.HttpBody`.
    pub body: &'a [u8],
    /// Only used for a `google.api.HttpBody`.
    pub content_type: &'a str,
    /// Names and values of headers that fill fields; others are ignored. See [`Binding::headers`].
    pub headers: &'a [(&'a str, &'a str)],
}

/// A route of a method.
#[derive(Debug)]
pub struct Binding {
    pub(crate) method: usize,
    pub(crate) verb: Box<str>,
    pub(crate) template: Box<str>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) headers: Vec<Header>,
    pub(crate) request: MessageId,
    pub(crate) body: Body,
    /// The body is a `google.api.HttpBody`.
    pub(crate) raw_body: bool,
    pub(crate) response: MessageId,
    pub(crate) response_body: Option<u16>,
    /// The reply is a `google.api.HttpBody`.
    pub(crate) raw_response: bool,
    /// The field for a mask that a PATCH derives.
    mask: Option<u16>,
    bound: Bound,
}

#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) path: FieldPath,
    /// Dotted, in the contract's names.
    pub(crate) name: Box<str>,
    /// Dotted, in JSON names.
    json_name: Box<str>,
    from: usize,
    to: Option<usize>,
    several: bool,
}

const HTTP_BODY: &str = "google.api.HttpBody";

impl Binding {
    pub(crate) fn compile(
        schema: &Schema,
        method: (usize, &str),
        (request, response): (MessageId, MessageId),
        rule: &Rule,
        headers: &[HeaderField],
    ) -> Result<(Self, Template), BuildError> {
        let fault = |problem: String| BuildError::Rule {
            method: method.1.to_owned(),
            problem,
        };
        let template = template::parse(&rule.template).map_err(fault)?;
        let variables = variables(schema, request, &template).map_err(fault)?;
        let in_path = variables.iter().map(|variable| &variable.path);
        let headers = header::compile(schema, request, headers, in_path).map_err(fault)?;
        let message = schema.message(request);
        let body = match rule.body.as_str() {
            "" => Body::None,
            "*" => Body::All,
            name => {
                let unknown = || fault(format!("body: no field {name:?}"));
                Body::Field(message.field_named(name).ok_or_else(unknown)?)
            }
        };
        let mut bound = Bound::default();
        for variable in &variables {
            bound.insert(&variable.path);
        }
        let response_body = match rule.response_body.as_str() {
            "" => None,
            name => {
                let unknown = || fault(format!("response_body: no field {name:?}"));
                Some(
                    schema
                        .message(response)
                        .field_named(name)
                        .ok_or_else(unknown)?,
                )
            }
        };
        let body_message = match body {
            Body::None => None,
            Body::All => Some(request),
            Body::Field(index) => message_of(schema, request, index),
        };
        let response_message = match response_body {
            None => Some(response),
            Some(index) => message_of(schema, response, index),
        };
        let is_raw =
            |id: Option<MessageId>| id.is_some_and(|id| &*schema.message(id).name == HTTP_BODY);
        let binding = Self {
            method: method.0,
            verb: rule.verb.as_str().into(),
            template: rule.template.as_str().into(),
            variables,
            headers,
            request,
            body,
            raw_body: is_raw(body_message),
            response,
            response_body,
            raw_response: is_raw(response_message),
            mask: mask_field(schema, request).filter(|_| rule.verb == "PATCH"),
            bound,
        };
        Ok((binding, template))
    }

    /// Appends the request message that path, query and body make together.
    pub(crate) fn encode(
        &self,
        schema: &Schema,
        path: &str,
        input: &Input<'_>,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> Result<(), InputError> {
        let with_headers;
        let bound = if self.headers.is_empty() || input.headers.is_empty() {
            &self.bound
        } else {
            with_headers = header::bound(&self.headers, input.headers, &self.bound);
            &with_headers
        };
        let masked = self.encode_body(schema, bound, input, encoder, out)?;
        for variable in &self.variables {
            variable
                .encode(schema, path, encoder.lenient, out)
                .map_err(|error| error.in_field(&variable.json_name).of_source(Source::Path))?;
        }
        let mut taken = Taken::default();
        if !(input.query.is_empty() && input.headers.is_empty()) {
            for variable in &self.variables {
                taken.fix(&*variable.path);
            }
            header::encode(
                schema,
                &self.headers,
                input.headers,
                encoder.lenient,
                &mut taken,
                out,
            )
            .map_err(|error| error.of_source(Source::Header))?;
            if let Body::Field(field) = self.body
                && self.has_body(input)
            {
                let message = self.request;
                taken.fix(vec![Step { message, field }]);
            }
            query::encode(self, schema, input.query, encoder.lenient, &mut taken, out)
                .map_err(|error| error.of_source(Source::Query))?;
        }
        if let Some(mask) = self.mask.filter(|mask| masked && !taken.touches(*mask)) {
            encoder
                .mask
                .put(out, schema.message(self.request).field(mask).number);
        }
        Ok(())
    }

    /// White space is no body, but for a `google.api.HttpBody`.
    fn has_body(&self, input: &Input<'_>) -> bool {
        self.raw_body || !input.body.trim_ascii().is_empty()
    }

    /// Appends what the body sets. Returns whether the encoder has gathered a mask on the way.
    fn encode_body(
        &self,
        schema: &Schema,
        bound: &Bound,
        input: &Input<'_>,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> Result<bool, InputError> {
        let has_body = self.has_body(input);
        match self.body {
            Body::None if has_body => Err(InputError::new("must be empty")),
            Body::All if self.raw_body => {
                put_http_body(out, input);
                Ok(false)
            }
            Body::All if has_body => {
                encoder.whole(schema, self.request, bound, input.body, out)?;
                Ok(false)
            }
            Body::Field(index) if self.raw_body => {
                let field = schema.message(self.request).field(index);
                wire::put_tag(out, field.number, wire::LEN);
                let start = wire::open_length(out);
                put_http_body(out, input);
                wire::close_length(out, start);
                Ok(false)
            }
            Body::Field(index) if has_body => {
                let field = schema.message(self.request).field(index);
                let parts = match bound.find(index) {
                    bound::Set::No => None,
                    bound::Set::InParts(parts) => Some(parts),
                    bound::Set::Whole => return Err(InputError::new("is set by a header already")),
                };
                let masked = self.mask.is_some_and(|mask| mask != index);
                encoder.field(schema, field, parts, input.body, out, masked)?;
                Ok(masked)
            }
            Body::All | Body::Field(_) | Body::None => Ok(false),
        }
    }

    /// Whether the body fills `field` of the request, so that no query parameter may.
    pub(crate) fn takes_from_body(&self, field: u16) -> bool {
        match self.body {
            Body::None => false,
            Body::All => true,
            Body::Field(index) => index == field,
        }
    }
}

impl Variable {
    fn encode(
        &self,
        schema: &Schema,
        path: &str,
        lenient: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), InputError> {
        let text = path::segments(path, self.from, self.to);
        let text = path::decode(text, self.several)?;
        query::put_path(out, schema, &self.path, &text, lenient)
    }
}

fn variables(
    schema: &Schema,
    request: MessageId,
    template: &Template,
) -> Result<Vec<Variable>, String> {
    let mut variables: Vec<Variable> = Vec::new();
    for capture in &template.variables {
        let path = bound::resolve(schema, request, &capture.field_path)?;
        if variables.iter().any(|other| {
            let shorter = other.path.len().min(path.len());
            other.path[..shorter] == path[..shorter]
        }) {
            return Err(format!("{:?} is set twice by the path", capture.field_path));
        }
        let last = path.last().ok_or("a variable has no field")?;
        let field = schema.message(last.message).field(last.field);
        let singular = matches!(field.shape, Shape::Implicit | Shape::Explicit);
        if !singular || !query::is_textual(schema, field) {
            return Err(format!("{:?} cannot stand in a path", capture.field_path));
        }
        variables.push(Variable {
            json_name: bound::json_name(schema, &path).into(),
            path,
            name: capture.field_path.clone(),
            from: capture.from,
            to: capture.to,
            several: capture.several,
        });
    }
    Ok(variables)
}

fn message_of(schema: &Schema, id: MessageId, index: u16) -> Option<MessageId> {
    let field = schema.message(id).field(index);
    match (field.kind, field.shape) {
        (Kind::Message(id), Shape::Implicit | Shape::Explicit) => Some(id),
        _ => None,
    }
}

/// `update_mask`, or the only field that is a mask.
fn mask_field(schema: &Schema, request: MessageId) -> Option<u16> {
    let message = schema.message(request);
    let is_mask = |index: &u16| {
        message_of(schema, request, *index)
            .is_some_and(|id| schema.message(id).form == Form::FieldMask)
    };
    let mut masks = (0..message.fields.len() as u16).filter(is_mask);
    let only = masks.next().filter(|_| masks.next().is_none());
    message.field_named("update_mask").filter(is_mask).or(only)
}

fn put_http_body(out: &mut Vec<u8>, input: &Input<'_>) {
    if !input.content_type.is_empty() {
        put_bytes(out, 1, input.content_type.as_bytes());
    }
    if !input.body.is_empty() {
        put_bytes(out, 2, input.body);
    }
}

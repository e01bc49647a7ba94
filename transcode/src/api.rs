//! Everything that one set of descriptors offers over HTTP.

use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::{
    Binding, Body, BuildError, Encoder, HeaderField, Input, InputError, MessageId, OutputError,
    Printer, Schema,
    route::{Lookup, Routes},
    rule,
};

/// The tables and routes of a descriptor pool.
#[derive(Debug)]
pub struct Api {
    schema: Schema,
    methods: Vec<Method>,
    bindings: Vec<Binding>,
    routes: Routes,
}

/// An rpc, with or without routes.
#[derive(Debug)]
pub struct Method {
    /// `/package.Service/Method`
    pub path: Box<str>,
    /// What the rpc is called with.
    pub request: MessageId,
    /// What it answers, or each message of its stream.
    pub response: MessageId,
    /// Where the rest of it stands, options and comments among them.
    pub descriptor: MethodDescriptor,
}

/// Why no route was found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No template matches the path: 404.
    #[error("there is nothing at this path")]
    NotFound,
    /// The path has other methods: 405.
    #[error("this path has other methods")]
    MethodNotAllowed {
        /// What belongs into the Allow header.
        allow: Vec<Box<str>>,
    },
}

/// A route that matches a request.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a, 'p> {
    api: &'a Api,
    index: usize,
    path: &'p str,
}

impl Api {
    /// Compiles every message and every `google.api.http` rule of the pool.
    ///
    /// # Errors
    /// The first rule that is wrong or clashes with another, with the names of both methods.
    pub fn compile(pool: &DescriptorPool) -> Result<Self, BuildError> {
        Self::compile_with(pool, |_| Vec::new())
    }

    /// As [`Self::compile`]; `headers` says which headers fill fields of a method's request.
    ///
    /// # Errors
    /// As [`Self::compile`], and where a header names a field that it cannot fill.
    pub fn compile_with(
        pool: &DescriptorPool,
        headers: impl Fn(&MethodDescriptor) -> Vec<HeaderField>,
    ) -> Result<Self, BuildError> {
        let mut api = Self {
            schema: Schema::compile(pool),
            methods: Vec::new(),
            bindings: Vec::new(),
            routes: Routes::default(),
        };
        for service in pool.services() {
            for method in service.methods() {
                let headers = headers(&method);
                api.add(method, &headers)?;
            }
        }
        Ok(api)
    }

    fn add(
        &mut self,
        descriptor: MethodDescriptor,
        headers: &[HeaderField],
    ) -> Result<(), BuildError> {
        let name = descriptor.full_name().to_owned();
        let fault = |problem: String| BuildError::Rule {
            method: name.clone(),
            problem,
        };
        let id = |message: prost_reflect::MessageDescriptor| {
            let unknown = || fault(format!("{} is not in the pool", message.full_name()));
            self.schema
                .message_id(message.full_name())
                .ok_or_else(unknown)
        };
        let (request, response) = (id(descriptor.input())?, id(descriptor.output())?);
        let index = self.methods.len();
        for rule in rule::of_method(&descriptor).map_err(fault)? {
            let (binding, template) = Binding::compile(
                &self.schema,
                (index, &name),
                (request, response),
                &rule,
                headers,
            )?;
            self.routes
                .insert(&template, &rule.verb, self.bindings.len())
                .map_err(|other| {
                    let other = &self.bindings[other];
                    let first = match self.methods.get(other.method) {
                        Some(method) => method.descriptor.full_name().to_owned(),
                        None => name.clone(),
                    };
                    BuildError::SameRoute {
                        first,
                        second: name.clone(),
                        verb: rule.verb.clone(),
                        template: rule.template.clone(),
                    }
                })?;
            self.bindings.push(binding);
        }
        let service = descriptor.parent_service().full_name();
        self.methods.push(Method {
            path: format!("/{service}/{}", descriptor.name()).into(),
            request,
            response,
            descriptor,
        });
        Ok(())
    }

    /// The tables of the messages.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Every rpc, in the order of the pool.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Every route, in the order of the pool.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Finds the route of a request. `path` has no query and is not decoded.
    ///
    /// # Errors
    /// [`RouteError`] where there is none.
    pub fn find<'p>(&self, http_method: &str, path: &'p str) -> Result<Found<'_, 'p>, RouteError> {
        match self.routes.find(http_method, path) {
            Lookup::Found(binding, path) => Ok(Found {
                api: self,
                index: binding,
                path,
            }),
            Lookup::OtherMethod(allow) => Err(RouteError::MethodNotAllowed { allow }),
            Lookup::Unknown => Err(RouteError::NotFound),
        }
    }
}

impl Binding {
    /// Index of the rpc in [`Api::methods`].
    pub fn method_index(&self) -> usize {
        self.method
    }

    /// The HTTP method; `*` for any.
    pub fn verb(&self) -> &str {
        &self.verb
    }

    /// The path template as the contract has it.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Dotted names of the fields that the path sets.
    pub fn path_fields(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| &*variable.name)
    }

    /// Names of the headers that fill fields, in lower case, with the dotted proto names of these fields.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let headers = self.headers.iter();
        headers.map(|header| (&*header.name, &*header.field))
    }

    /// What the body fills.
    pub fn body(&self) -> Body {
        self.body
    }

    /// The proto name of the request field that the body fills, where it is one.
    pub fn body_field<'s>(&self, schema: &'s Schema) -> Option<&'s str> {
        match self.body {
            Body::Field(index) => Some(&schema.message(self.request).field(index).name),
            Body::All | Body::None => None,
        }
    }

    /// The proto name of the response field that is answered, where it is one.
    pub fn response_field<'s>(&self, schema: &'s Schema) -> Option<&'s str> {
        let index = self.response_body?;
        Some(&schema.message(self.response).field(index).name)
    }

    /// Whether the body passes as it is, in a `google.api.HttpBody`.
    pub fn takes_raw_body(&self) -> bool {
        self.raw_body
    }

    /// Whether the answer is a `google.api.HttpBody`: see [`Self::raw_response`].
    pub fn answers_raw_body(&self) -> bool {
        self.raw_response
    }

    /// Appends the JSON of a reply, or of its `response_body`.
    ///
    /// # Errors
    /// Where the bytes are malformed or JSON has no form for them.
    pub fn print(
        &self,
        schema: &Schema,
        printer: &mut Printer,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OutputError> {
        match self.response_body {
            None => printer.message(schema, self.response, wire, out),
            Some(index) => printer.field(schema, self.response, index, wire, out),
        }
    }

    /// The `google.api.HttpBody` of a reply that has one.
    ///
    /// # Errors
    /// Where the bytes are malformed.
    pub fn raw_response<'w>(
        &self,
        schema: &Schema,
        wire: &'w [u8],
    ) -> Result<crate::HttpBody<'w>, OutputError> {
        let Some(index) = self.response_body else {
            return crate::http_body(wire);
        };
        let wanted = schema.message(self.response).field(index).number;
        let mut body = crate::HttpBody::default();
        let mut records = crate::wire::Records::new(wire);
        while let Some((number, raw)) = records.next()? {
            if let crate::wire::Raw::Bytes(bytes) = raw
                && number == wanted
            {
                body = crate::http_body(bytes)?;
            }
        }
        Ok(body)
    }
}

impl<'a> Found<'a, '_> {
    /// The route.
    pub fn binding(&self) -> &'a Binding {
        &self.api.bindings[self.index]
    }

    /// Index of the route in [`Api::bindings`].
    pub fn binding_index(&self) -> usize {
        self.index
    }

    /// The rpc behind it.
    pub fn method(&self) -> &'a Method {
        &self.api.methods[self.binding().method]
    }

    /// Appends the request message that path, query and body make together.
    ///
    /// # Errors
    /// Where they do not fit the message; `out` then holds part of it.
    pub fn encode(
        &self,
        encoder: &mut Encoder,
        input: &Input<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), InputError> {
        self.binding()
            .encode(&self.api.schema, self.path, input, encoder, out)
    }

    /// Appends the JSON of a reply. See [`Binding::print`].
    ///
    /// # Errors
    /// Where the bytes are malformed or JSON has no form for them.
    pub fn print(
        &self,
        printer: &mut Printer,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OutputError> {
        self.binding().print(&self.api.schema, printer, wire, out)
    }
}

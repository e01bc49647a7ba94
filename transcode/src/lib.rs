//! JSON to protobuf and back by descriptor, with the routes of `google.api.http`.
//!
//! No I/O, no generated code, and no message or document in between: tables compiled once from a
//! [`DescriptorPool`](prost_reflect::DescriptorPool) turn JSON bytes into protobuf wire bytes and wire bytes
//! into JSON bytes, each appended to a buffer of the caller's.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use transcode::{Api, Encoder, Input, Printer};
//!
//! // Once.
//! let api = Api::compile(&contracts::DESCRIPTOR_POOL)?;
//!
//! // A request: route, then one protobuf message of path, query and body.
//! let found = api.find("POST", "/v1/orders")?;
//! let mut request = Vec::new();
//! let input = Input { body: br#"{"lines": [{"sku": "tea", "quantity": 2}]}"#, ..Input::default() };
//! found.encode(&mut Encoder::default(), &input, &mut request)?;
//!
//! // A reply: protobuf to JSON, by the route's `response_body`.
//! let mut json = Vec::new();
//! found.print(&mut Printer::default(), b"\x0a\x03\x0a\x01x", &mut json)?;
//! assert!(json.starts_with(br#"{"orderId":"x","customerId":"","#));
//! # Ok(())
//! # }
//! ```
//!
//! # Parts
//!
//! - [`Schema`]: the tables of all messages and enums. [`Encoder::message`] and [`Printer::message`] need nothing else, and
//!   take one message each: a stream is a loop around them.
//! - [`Api`]: a schema with the routes. [`Api::find`] takes a method and a path, [`Found::encode`] puts path, query, headers
//!   and body into one request, [`Found::print`] takes `response_body` out of a reply.
//! - [`TextTemplate`]: text with fields of a message in it, such as a Location header.
//! - [`http_body`], [`Binding::raw_response`]: `google.api.HttpBody`, whose bytes pass as they are.
//!
//! # Strict and lenient
//!
//! Unknown fields, a field set twice or from two places, numbers that do not fit and bad escapes are an [`InputError`]
//! that names the place. [`Encoder::lenient`] steps over names that it does not know, and nothing else.
//!
//! # Cost
//!
//! Nothing is allocated for a field. Records in the order of their numbers, as encoders write them, are printed in one
//! pass; others cost a table of offsets. Errors, escaped keys and query parameters allocate.
//!
//! A message without a route, from JSON and back:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use transcode::{Encoder, Printer, Schema};
//!
//! let schema = Schema::compile(&contracts::DESCRIPTOR_POOL);
//! let money = schema.message_id("caravan.common.v1.Money").ok_or("no such message")?;
//! let (mut wire, mut json) = (Vec::new(), Vec::new());
//! Encoder::default().message(&schema, money, br#"{"minorUnits": 690, "currencyCode": "EUR"}"#, &mut wire)?;
//! Printer::default().message(&schema, money, &wire, &mut json)?;
//! assert_eq!(json, br#"{"currencyCode":"EUR","minorUnits":"690"}"#);
//!
//! let error = Encoder::default().message(&schema, money, br#"{"minorUnits": 0.5}"#, &mut wire);
//! assert_eq!(error.unwrap_err().to_string(), "body: minorUnits: must be an integer");
//! # Ok(())
//! # }
//! ```

mod api;
mod binding;
mod bound;
mod cursor;
mod error;
mod extract;
mod header;
mod json_in;
mod json_out;
mod mask;
mod number;
mod path;
mod query;
mod route;
mod rule;
mod scalar;
mod schema;
mod template;
mod text;
mod time;
mod wire;

pub use api::{Api, Found, Method, RouteError};
pub use binding::{Binding, Body, Input};
pub use error::{BuildError, InputError, OutputError, Source};
pub use extract::TextTemplate;
pub use json_in::Encoder;
pub use json_out::{PrintOptions, Printer};
pub use rule::HeaderField;
pub use schema::{MessageId, Schema};
pub use wire::{HttpBody, http_body};

/// Deepest nesting of JSON, and of protobuf messages that JSON is made into: what protobuf decoders allow.
pub const MAX_DEPTH: u32 = 100;

/// Most query parameters that one request may have.
pub const MAX_QUERY_PARAMETERS: usize = 1_000;

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
//! What it does with input is strict: unknown fields, a field set twice or from two places, numbers
//! that do not fit and bad escapes are an [`InputError`] that names the place. See [`Encoder`] for the lenient mode.

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

//! Calls to one service: gRPC over a few HTTP/2 connections, bytes in and bytes out.

mod connection;
mod messages;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use connection::Connection;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
pub use messages::Messages;

use crate::status::Status;

/// Connections to one upstream. Calls share them; more than one keeps a lost packet from holding up all calls.
const CONNECTIONS: usize = 2;
/// Bytes of a gRPC frame before its message: a flag and the length.
pub const FRAME_HEADER_BYTES: usize = 5;
const USER_AGENT: &str = concat!("caravan-gateway/", env!("CARGO_PKG_VERSION"));

/// One service. Connects when it is first called, and again whenever a connection broke.
#[derive(Debug)]
pub struct Upstream {
    name: Box<str>,
    uri: Uri,
    connections: [Connection; CONNECTIONS],
    next: AtomicUsize,
}

impl Upstream {
    /// The service `name` at `uri` (`http://host:port`).
    pub fn new(name: &str, uri: Uri) -> Self {
        Self {
            name: name.into(),
            uri,
            connections: Default::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// Its logical name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls an rpc with one message, framed by [`frame`]. The answer's messages come one by one. Dropping the future
    /// or the messages cancels the call at the upstream.
    pub(crate) async fn call(
        &self,
        path: &PathAndQuery,
        metadata: HeaderMap,
        framed: Bytes,
    ) -> Result<Messages, Status> {
        let request = self.request(path, metadata, framed);
        let index = self.next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
        let response = self.connections[index]
            .send(&self.name, &self.uri, request)
            .await?;
        if response.status() != StatusCode::OK {
            return Err(Status::of_http(response.status()));
        }
        let (head, body) = response.into_parts();
        if let Some(status) = Status::read(&head.headers) {
            return Err(status);
        }
        Ok(Messages::new(body))
    }

    fn request(
        &self,
        path: &PathAndQuery,
        mut metadata: HeaderMap,
        framed: Bytes,
    ) -> Request<Full<Bytes>> {
        metadata.insert(header::TE, HeaderValue::from_static("trailers"));
        metadata.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        metadata.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let mut request = Request::new(Full::new(framed));
        let mut uri = self.uri.clone().into_parts();
        uri.path_and_query = Some(path.clone());
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_else(|_| self.uri.clone());
        *request.method_mut() = Method::POST;
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = metadata;
        request
    }
}

/// Leaves room for the frame's header; append the message, then call [`frame`].
pub(crate) fn open_frame(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
}

/// Completes the frame that [`open_frame`] began.
pub(crate) fn frame(buffer: &mut [u8]) {
    // Requests are far smaller than 4 GiB: the body limit is 4 MiB.
    let length = (buffer.len() - FRAME_HEADER_BYTES) as u32;
    buffer[1..FRAME_HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
}

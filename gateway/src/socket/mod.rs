//! Streams over WebSocket, one JSON message a text frame: the rpcs that take a stream, which plain HTTP cannot offer to
//! browsers, and those that answer with one.
//!
//! - A frame of the client is what a body is in plain HTTP: path and query fill the other fields of each message.
//! - An empty text frame ends the client's messages; the answers then still come.
//! - A failed call is told by a record `{"error": {problem}}` and a close code of 4000 + the gRPC code.
//! - A close by the client before the end breaks the call off.

mod close;
mod session;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts,
};
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use transcode::Found;

use crate::{
    answer::{Answer, Body},
    api::Api,
    exchange::Exchange,
    gateway::{Gateway, Place},
    problem::Problem,
};
use session::Session;

/// What we speak, for clients that ask for a subprotocol.
const SUBPROTOCOL: &str = "caravan.json.v1";
/// Begins the subprotocol that carries a token: browsers can set no headers.
const BEARER: &str = "bearer.";
/// Bytes of a connection that are read or written at once.
const BUFFER_BYTES: usize = 8 * 1024;
/// Bytes that a client's key has.
const KEY_BYTES: usize = 16;
/// Verbs under which a route may be meant: a handshake is always a GET, or a CONNECT.
const VERBS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// How a request asks for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The connection becomes one (RFC 6455).
    Upgrade,
    /// One stream of an HTTP/2 connection does (RFC 8441).
    Connect,
}

pub(crate) fn handshake(head: &Parts) -> Option<Handshake> {
    let is_upgrade = head.method == Method::GET
        && head.version == Version::HTTP_11
        && names(&head.headers, &header::UPGRADE, "websocket")
        && names(&head.headers, &header::CONNECTION, "upgrade");
    if is_upgrade {
        return Some(Handshake::Upgrade);
    }
    let protocol = head.extensions.get::<Protocol>().map(Protocol::as_str);
    let is_connect = head.method == Method::CONNECT && protocol == Some("websocket");
    is_connect.then_some(Handshake::Connect)
}

/// Whether a header's list has this word.
fn names(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    list(headers, name).any(|found| found.eq_ignore_ascii_case(word))
}

fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// The route of a stream that is asked for by WebSocket. `None` for everything else, which is answered as if nothing had
/// been said about an upgrade.
pub(crate) fn find<'a, 'p>(api: &'a Api, head: &'p Parts) -> Option<Found<'a, 'p>> {
    handshake(head)?;
    let found = VERBS
        .iter()
        .filter_map(|verb| api.rest().find(verb, head.uri.path()).ok());
    let mut streams = found.filter(|found| {
        let method = api.method_of(found.binding());
        method.client_streaming || method.server_streaming
    });
    streams.next()
}

/// The request's headers, with the token of a subprotocol in its usual place.
pub(crate) fn headers(head: &Parts) -> HeaderMap {
    let mut headers = head.headers.clone();
    if !headers.contains_key(header::AUTHORIZATION) {
        let mut offered = list(&head.headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let token = offered.find_map(|offer| offer.strip_prefix(BEARER));
        let value = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        if let Some(mut value) = value {
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
    }
    headers
}

/// Takes the handshake; what then happens is a task of its own.
///
/// # Errors
/// The handshake is malformed, or a page of this origin may not call.
pub(crate) fn answer(
    exchange: &Exchange<'_>,
    found: &Found<'_, '_>,
    headers: HeaderMap,
    place: Place,
) -> Result<Answer, Problem> {
    let gateway = exchange.gateway;
    check_origin(gateway, &headers)?;
    let handshake = handshake(exchange.head);
    let handshake = handshake.ok_or_else(|| malformed("this is no handshake"))?;
    let accept = accepted(&headers, handshake)?;
    let upgrade = exchange.head.extensions.get::<OnUpgrade>().cloned();
    let upgrade = upgrade.ok_or_else(|| malformed("this connection cannot be upgraded"))?;
    let is_offered = names(&headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    let session = Session::new(exchange, found, headers, place)?;
    let limit = gateway.policies.limits().message_bytes;
    gateway.sockets.spawn(async move {
        match upgrade.await {
            Ok(connection) => {
                let connection = TokioIo::new(connection);
                let config = Some(config(limit));
                let socket = WebSocketStream::from_raw_socket(connection, Role::Server, config);
                session.run(socket.await).await;
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no upgrade");
            }
        }
    });
    let mut answer = Answer::new(Body::default());
    // Over HTTP/2 the answer is a plain success.
    if let Some(accept) = accept {
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answered = answer.headers_mut();
        answered.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        answered.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        answered.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if is_offered {
        answer.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(answer)
}

/// Refuses pages of other origins, where the operator says which may call.
pub(crate) fn check_origin(gateway: &Gateway, headers: &HeaderMap) -> Result<(), Problem> {
    if gateway.policies.admits_origin(headers) {
        return Ok(());
    }
    let detail = "pages of this origin may not call";
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "ORIGIN_NOT_ALLOWED",
        detail,
    ))
}

/// The Sec-WebSocket-Accept of the answer, where there is to be one.
fn accepted(headers: &HeaderMap, handshake: Handshake) -> Result<Option<HeaderValue>, Problem> {
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        return Err(malformed("Sec-WebSocket-Version must be 13"));
    }
    if handshake == Handshake::Connect {
        return Ok(None); // HTTP/2 knows by itself that the answer is to this request.
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| {
        let decoded = STANDARD.decode(key);
        decoded.is_ok_and(|bytes| bytes.len() == KEY_BYTES)
    });
    let key = key.ok_or_else(|| malformed("Sec-WebSocket-Key must be 16 bytes in base64"))?;
    HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map(Some)
        .map_err(|_| malformed("Sec-WebSocket-Key must be 16 bytes in base64"))
}

fn malformed(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BAD_HANDSHAKE", detail)
}

fn config(message_bytes: usize) -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = BUFFER_BYTES;
    // Each message is flushed anyway.
    config.write_buffer_size = 0;
    config.max_message_size = Some(message_bytes);
    config.max_frame_size = Some(message_bytes);
    config
}

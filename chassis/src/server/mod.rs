//! The gRPC server: its limits, and the one stack of layers that every call goes through.

mod accept;
pub(crate) mod deadline;
mod limiter;
mod malformed;
mod observe;
mod panic;
mod reflection;
mod shed;

use std::{sync::Arc, time::Duration};

use axum::{
    middleware::from_fn,
    response::{IntoResponse as _, Response},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes, transport::Server};
use tower::ServiceBuilder;

pub(crate) use accept::{Limits, Peer};
pub(crate) use limiter::Bounds;
pub(crate) use observe::{REQUEST_ID, TRACEPARENT};
pub(crate) use reflection::add as add_reflection;

use crate::{
    auth::access::{self, Access},
    network::Network,
    tls::Tls,
};

/// Most calls at once on one connection.
const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// Most streams that a client's errors may make us reset on one connection before it is closed (CVE-2023-44487 and kin).
const MAX_LOCAL_ERROR_RESET_STREAMS: usize = 1024;
/// Most streams that a client may reset before we have accepted them.
const MAX_PENDING_ACCEPT_RESET_STREAMS: usize = 64;
/// Largest header block, in bytes.
const MAX_HEADER_LIST_BYTES: u32 = 32 * 1024;
/// Silence on a connection after which it is pinged, so that a partitioned client does not hold it for good.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// Longest wait for the answer to a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one call that may be on the way unread.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of one connection that may be on the way unread.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Serves calls until `closing`, then lets those that run finish.
///
/// One message may have 4 MiB, tonic's limit for what it decodes.
///
/// # Errors
/// The transport failed.
pub(crate) async fn serve(
    listener: TcpListener,
    limits: Limits,
    bounds: Bounds,
    tls: Option<Arc<Tls>>,
    routes: Routes,
    (access, proxies): (Access, Arc<[Network]>),
    closing: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let streams = closing.clone();
    // From the outside in; each works on headers and leaves the body as it is.
    let stack = ServiceBuilder::new()
        // What tonic hands in, as axum's layers take it.
        .map_request(|request: http::Request<tonic::body::Body>| request.map(axum::body::Body::new))
        // First, so that everything below logs and counts under the request's ids, refusals included.
        .layer(from_fn(move |request, next| {
            observe::layer(streams.clone(), proxies.clone(), request, next)
        }))
        // Within the metrics, so that a panic counts as INTERNAL; around all else, so that no call takes the connection along.
        .layer(from_fn(panic::layer))
        // Before anything that costs much; within the metrics, so that what is turned away is seen.
        .layer(shed::ShedLayer::new(bounds))
        // Before access, since fetching keys also takes the caller's time.
        .layer(from_fn(deadline::layer))
        // Last: what is below may trust the caller.
        .layer(from_fn(move |request, next| {
            access::layer(access.clone(), request, next)
        }))
        .service(routes.prepare().into_axum_router());

    Server::builder()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .http2_max_local_error_reset_streams(Some(MAX_LOCAL_ERROR_RESET_STREAMS))
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_ACCEPT_RESET_STREAMS))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .serve_with_incoming_shutdown(
            stack,
            accept::connections(listener, limits, tls),
            closing.cancelled_owned(),
        )
        .await
}

/// An answer that is nothing but a status.
pub(crate) fn answer(status: &Status) -> Response {
    let response: http::Response<tonic::body::Body> = status.clone().into_http();
    response.into_response()
}

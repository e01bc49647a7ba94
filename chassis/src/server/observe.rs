//! Gives each call its ids and its span, and counts and logs how it ended.

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::Peer;
use super::malformed;
use crate::{
    body::{self, Guarded},
    context::{self, Context},
    methods,
    network::{self, Network},
    telemetry::{self, Kind, entry_span},
};

/// The header that carries the request id, in and out.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// The header of a W3C trace context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Bounds of the latency histogram, in seconds.
const LATENCY_BOUNDS_S: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

static CALLS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("grpc_server_calls")
        .with_description("Calls answered, by method and code")
        .build()
});

static LATENCY: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    telemetry::meter()
        .f64_histogram("grpc_server_call_duration")
        .with_unit("s")
        .with_description("Time from a call's headers to the end of its answer")
        .with_boundaries(LATENCY_BOUNDS_S.to_vec())
        .build()
});

/// The layer.
pub(super) async fn layer(
    closing: CancellationToken,
    proxies: Arc<[Network]>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let method = methods::get(path);
    // Clients choose paths, and each label is kept for good.
    let label = method.map_or_else(|| well_known(path), |method| method.path);
    let outcome = Outcome {
        method: label,
        quiet: method.is_none(),
        start: Instant::now(),
    };
    let streams = method.is_none_or(|method| method.streams);
    let peer = request.extensions().get::<Peer>();
    let context = Context {
        client: peer.map(|peer| network::client(peer.address.ip(), request.headers(), &proxies)),
        ..Context::new(text(request.headers(), REQUEST_ID))
    };
    let span = entry_span(
        Kind::Server,
        label.trim_start_matches('/'),
        &context.request_id,
        text(request.headers(), TRACEPARENT),
    );

    let response = context::scope(context.clone(), next.run(request))
        .instrument(span.clone())
        .await;

    let (mut parts, body) = response.into_parts();
    let mut guarded = Guarded::answer(tonic::body::Body::new(body)).within(span.clone(), context);
    if streams {
        guarded = guarded.unless(closing.cancelled_owned());
    }
    if parts.headers.contains_key(Status::GRPC_STATUS) {
        malformed::mend(&mut parts.headers);
        span.in_scope(|| outcome.tell(body::code(&parts.headers)));
    } else {
        guarded = guarded.watched(move |code| outcome.tell(code));
    }
    Response::from_parts(parts, Body::new(guarded.boxed()))
}

/// How a call ended, to be told once.
struct Outcome {
    method: &'static str,
    /// Probes and reflection would drown the rest.
    quiet: bool,
    start: Instant,
}

impl Outcome {
    fn tell(self, code: Code) {
        let elapsed = self.start.elapsed().as_secs_f64();
        let code = crate::error::code_name(code);
        let labels = [
            KeyValue::new("method", self.method),
            KeyValue::new("code", code),
        ];
        CALLS.add(1, &labels);
        LATENCY.record(elapsed, &labels[..1]);
        let milliseconds = (elapsed * 1e6).round() / 1e3;
        if self.quiet {
            tracing::debug!(target: "rpc", method = self.method, code, milliseconds, "answered");
        } else {
            tracing::info!(target: "rpc", method = self.method, code, milliseconds, "answered");
        }
    }
}

/// The name under which a path outside of the contract is counted.
fn well_known(path: &str) -> &'static str {
    if path.starts_with("/grpc.health.") {
        "health"
    } else if path.starts_with("/grpc.reflection.") {
        "reflection"
    } else {
        "unknown"
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

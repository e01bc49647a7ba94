//! Counts and times of requests, by route and outcome.

use std::{sync::LazyLock, time::Duration};

use chassis::telemetry;
use http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, UpDownCounter},
};

/// Bounds of the latency histogram, in seconds.
pub(crate) const LATENCY_BOUNDS_S: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

static REQUESTS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("http_server_requests")
        .with_description("Requests answered, by route and status")
        .build()
});

static LATENCY: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    telemetry::meter()
        .f64_histogram("http_server_request_duration")
        .with_unit("s")
        .with_description("Time from a request's headers to the answer's headers")
        .with_boundaries(LATENCY_BOUNDS_S.to_vec())
        .build()
});

static STREAMS: LazyLock<UpDownCounter<i64>> = LazyLock::new(|| {
    telemetry::meter()
        .i64_up_down_counter("http_server_open_streams")
        .with_description("Streams that are being answered")
        .build()
});

/// Counts an answer. `route` is a template or a fixed word, never a client's path: each label is kept for good.
pub(crate) fn answered(verb: &'static str, route: &str, status: StatusCode, elapsed: Duration) {
    let labels = [
        KeyValue::new("method", verb),
        KeyValue::new("route", route.to_owned()),
        KeyValue::new("status", i64::from(status.as_u16())),
    ];
    REQUESTS.add(1, &labels);
    LATENCY.record(elapsed.as_secs_f64(), &labels[..2]);
}

/// Counts a stream for as long as it is kept.
#[derive(Debug)]
pub(crate) struct OpenStream;

impl OpenStream {
    pub(crate) fn new() -> Self {
        STREAMS.add(1, &[]);
        Self
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        STREAMS.add(-1, &[]);
    }
}

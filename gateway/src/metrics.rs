//! Counts and times of requests, by route and outcome.

use std::{
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use chassis::telemetry;
use http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Counter, Histogram, UpDownCounter},
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

/// What is counted of an answer. `route` is a template or a fixed word, never a client's path: each label is kept for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'r> {
    pub(crate) verb: &'static str,
    pub(crate) route: &'r str,
    pub(crate) status: StatusCode,
    pub(crate) elapsed: Duration,
}

impl Answered<'_> {
    /// Counts it, with less work where it is what its route usually answers.
    pub(crate) fn count(self, usual: Option<&Usual>) {
        let elapsed_s = self.elapsed.as_secs_f64();
        match usual {
            Some(usual) if usual.status == self.status && *usual.verb == *self.verb => {
                let (requests, latency) = usual.bound.get_or_init(|| self.bind());
                requests.add(1);
                latency.record(elapsed_s);
            }
            _ => {
                let labels = self.labels();
                REQUESTS.add(1, &labels);
                LATENCY.record(elapsed_s, &labels[..2]);
            }
        }
    }

    fn labels(self) -> [KeyValue; 3] {
        [
            KeyValue::new("method", self.verb),
            KeyValue::new("route", self.route.to_owned()),
            KeyValue::new("status", i64::from(self.status.as_u16())),
        ]
    }

    fn bind(self) -> (BoundCounter<u64>, BoundHistogram<f64>) {
        let labels = self.labels();
        (REQUESTS.bind(&labels), LATENCY.bind(&labels[..2]))
    }
}

/// The usual answer of a route, whose labels are looked up once.
#[derive(Debug)]
pub(crate) struct Usual {
    verb: Box<str>,
    status: StatusCode,
    bound: OnceLock<(BoundCounter<u64>, BoundHistogram<f64>)>,
}

impl Usual {
    /// A route's, before it answered anything.
    pub(crate) fn new(verb: &str, status: StatusCode) -> Self {
        Self {
            verb: verb.into(),
            status,
            bound: OnceLock::new(),
        }
    }
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

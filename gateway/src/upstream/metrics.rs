//! What operators see of upstreams.

use std::{sync::LazyLock, time::Duration};

use chassis::telemetry;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, UpDownCounter},
};

use crate::metrics::LATENCY_BOUNDS_S;

static ENDPOINTS: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_gauge("gateway_upstream_endpoints")
        .with_description("Addresses of an upstream")
        .build()
});

static EJECTED: LazyLock<UpDownCounter<i64>> = LazyLock::new(|| {
    telemetry::meter()
        .i64_up_down_counter("gateway_upstream_ejected_endpoints")
        .with_description("Addresses of an upstream that are passed over since they failed")
        .build()
});

static EJECTIONS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("gateway_upstream_ejections")
        .with_description("Addresses that began to be passed over, by cause")
        .build()
});

static RETRIES: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("gateway_upstream_retries")
        .with_description("Calls that failed and may be made again: made, or refused by the budget")
        .build()
});

static SPLIT: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("gateway_split_requests")
        .with_description(
            "Requests that several upstreams share, by who was asked and how that ended",
        )
        .build()
});

static SPLIT_LATENCY: LazyLock<Histogram<f64>> = LazyLock::new(|| {
    telemetry::meter()
        .f64_histogram("gateway_split_request_duration")
        .with_unit("s")
        .with_description("Time from such a request's headers to the answer's headers")
        .with_boundaries(LATENCY_BOUNDS_S.to_vec())
        .build()
});

static FALLBACKS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("gateway_split_fallbacks")
        .with_description("Such requests that went to another upstream since this one was away")
        .build()
});

fn upstream(name: &str) -> KeyValue {
    KeyValue::new("upstream", name.to_owned())
}

pub(super) fn endpoints(name: &str, count: usize) {
    ENDPOINTS.record(count as u64, &[upstream(name)]);
}

pub(super) fn ejected(name: &str, cause: &'static str) {
    EJECTED.add(1, &[upstream(name)]);
    EJECTIONS.add(1, &[upstream(name), KeyValue::new("cause", cause)]);
}

pub(super) fn returned(name: &str) {
    EJECTED.add(-1, &[upstream(name)]);
}

pub(super) fn retried(name: &str, outcome: &'static str) {
    RETRIES.add(1, &[upstream(name), KeyValue::new("outcome", outcome)]);
}

fn share(of: &str, name: &str) -> [KeyValue; 2] {
    [KeyValue::new("split", of.to_owned()), upstream(name)]
}

/// A call of a split ended with a code, `OK` or another.
pub(super) fn shared(of: &str, name: &str, code: &'static str) {
    let [of, name] = share(of, name);
    SPLIT.add(1, &[of, name, KeyValue::new("code", code)]);
}

pub(super) fn shared_latency(of: &str, name: &str, elapsed: Duration) {
    SPLIT_LATENCY.record(elapsed.as_secs_f64(), &share(of, name));
}

pub(super) fn fell_back(of: &str, name: &str) {
    FALLBACKS.add(1, &share(of, name));
}

//! What operators see of upstreams.

use std::sync::LazyLock;

use chassis::telemetry;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, UpDownCounter},
};

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

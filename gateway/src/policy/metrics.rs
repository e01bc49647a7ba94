//! What operators see of policies.

use std::sync::LazyLock;

use chassis::telemetry;
use opentelemetry::{KeyValue, metrics::Counter};

static CACHED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("gateway_cache_requests")
        .with_description("Requests for what may be kept, by how they were answered")
        .build()
});

static LIMITED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("gateway_rate_limited")
        .with_description("Requests refused since their caller makes too many, by rate class")
        .build()
});

/// `hit`, `coalesced`, `miss`, `stale` or `bypass`.
pub(super) fn cached(outcome: &'static str) {
    CACHED.add(1, &[KeyValue::new("outcome", outcome)]);
}

pub(super) fn limited(class: &'static str) {
    LIMITED.add(1, &[KeyValue::new("class", class)]);
}

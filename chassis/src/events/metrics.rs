//! Counters of consumers.

use std::sync::LazyLock;

use opentelemetry::{KeyValue, metrics::Counter};

use crate::telemetry::meter;

static HANDLED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("caravan_events_handled")
        .with_description("Events that a consumer handled, those among them that it had before")
        .build()
});

static DEAD_LETTERS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    meter()
        .u64_counter("caravan_dead_letters")
        .with_description("Events that a consumer could not handle and that were put aside")
        .build()
});

pub(super) fn handled(consumer: &str) {
    HANDLED.add(1, &[KeyValue::new("consumer", consumer.to_owned())]);
}

pub(super) fn died(consumer: &str) {
    DEAD_LETTERS.add(1, &[KeyValue::new("consumer", consumer.to_owned())]);
}

//! Counters of what reaches the disk.

use std::sync::LazyLock;

use opentelemetry::{global, metrics::Counter};

static COMMITS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("caravan")
        .u64_counter("caravan_db_commits")
        .with_description("Transactions that were committed to disk")
        .build()
});

static UNITS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    global::meter("caravan")
        .u64_counter("caravan_db_units")
        .with_description("Units of work that were kept; several may share a commit")
        .build()
});

pub(super) fn commit() {
    COMMITS.add(1, &[]);
}

pub(super) fn unit() {
    UNITS.add(1, &[]);
}

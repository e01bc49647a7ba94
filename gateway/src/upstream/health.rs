//! Which endpoints are passed over for a while because they failed.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Time that an endpoint is passed over after its first failure; doubles with each further one.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// Longest time that an endpoint is passed over.
const MAX_EJECTION: Duration = Duration::from_secs(30);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Failures of one endpoint since its last success. All endpoints being ejected, calls go to them nevertheless.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: AtomicU32,
    /// Milliseconds since [`START`].
    ejected_until: AtomicU64,
}

impl Health {
    pub(super) fn failed(&self) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let ejection = FIRST_EJECTION * (1 << before.min(8));
        let until = START.elapsed() + ejection.min(MAX_EJECTION);
        self.ejected_until
            .store(until.as_millis() as u64, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) {
        // Read first: a store would take the cache line from other workers at every call.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn is_ejected(&self) -> bool {
        match self.ejected_until.load(Ordering::Relaxed) {
            0 => false,
            until => (START.elapsed().as_millis() as u64) < until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_ejects_until_a_success() {
        let health = Health::default();
        assert!(!health.is_ejected());
        for _ in 0..40 {
            health.failed();
        }
        assert!(health.is_ejected());
        health.answered();
        assert!(!health.is_ejected());
    }
}

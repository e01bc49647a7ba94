//! Waits between tries.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

/// Some time between nothing and `ceiling`, so that callers who failed together do not come back together.
pub fn jitter(ceiling: Duration) -> Duration {
    ceiling.mul_f64(chance())
}

/// A number from 0 to 1 that differs from call to call. Nothing to keep a secret with.
pub fn chance() -> f64 {
    // The keys of std's hasher are random, and differ with each one that is made.
    let random = RandomState::new().hash_one(0) >> 32;
    random as f64 / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_differ_and_stay_below_the_ceiling() {
        let ceiling = Duration::from_secs(1);
        let waits: Vec<_> = (0..16).map(|_| jitter(ceiling)).collect();
        assert!(waits.iter().all(|wait| *wait <= ceiling));
        assert!(waits.iter().any(|wait| wait != &waits[0]));
    }
}

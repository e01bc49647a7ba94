//! How many calls are made again: a fifth of those that went well, and some at first.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::worker;

/// What a call made again costs; each answered call pays 1.
const PRICE: u32 = 5;
/// Most calls that one worker makes again at once, after a time in which all went well: those that one endpoint had under way
/// when it went away.
const MAX_SAVED: u32 = 256;

/// Keeps calls that are made again from doubling the load of an upstream that has too much of it already.
#[derive(Debug)]
pub(super) struct Budget {
    /// One a worker, so that none waits for another.
    saved: Box<[AtomicU32]>,
}

impl Budget {
    pub(super) fn new(workers: usize) -> Self {
        let saved = (0..workers.max(1)).map(|_| AtomicU32::new(MAX_SAVED * PRICE));
        Self {
            saved: saved.collect(),
        }
    }

    /// A call was answered.
    pub(super) fn pay(&self) {
        let saved = self.own();
        let before = saved.load(Ordering::Relaxed);
        if before < MAX_SAVED * PRICE {
            // Another thread than a worker's may write at the same time; what is lost is a fifth of a call.
            saved.store(before + 1, Ordering::Relaxed);
        }
    }

    /// Whether one more call may be made again.
    pub(super) fn take(&self) -> bool {
        let saved = self.own();
        let before = saved.load(Ordering::Relaxed);
        let is_enough = before >= PRICE;
        if is_enough {
            saved.store(before - PRICE, Ordering::Relaxed);
        }
        is_enough
    }

    fn own(&self) -> &AtomicU32 {
        &self.saved[worker::index() % self.saved.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_made_again() {
        let budget = Budget::new(2);
        let taken = || (0..10_000).filter(|_| budget.take()).count() as u32;
        assert_eq!(taken(), MAX_SAVED);
        for _ in 0..50 {
            budget.pay();
        }
        assert_eq!(taken(), 50 / PRICE);
        for _ in 0..100_000 {
            budget.pay();
        }
        assert_eq!(taken(), MAX_SAVED);
    }
}

//! How long a dead process waits before it is started again.

use std::time::Duration;

/// After the first death: short, so that a killed service is missed for a moment only.
const FIRST: Duration = Duration::from_millis(100);
/// A process that keeps dying is tried this often, for as long as the mesh runs: what it misses may come back.
const MAX: Duration = Duration::from_secs(15);
/// A process that lived this long has recovered: its next death counts as the first.
const RECOVERED_AFTER: Duration = Duration::from_secs(30);

/// Doubles from 100 ms to 15 s.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The wait after a death, the process having lived for `lived`.
    pub fn after(&mut self, lived: Duration) -> Duration {
        if lived >= RECOVERED_AFTER {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(MAX);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_again_after_recovery() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..10).map(|_| backoff.after(Duration::ZERO)).collect();
        assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(waits[9], MAX);
        assert_eq!(backoff.after(RECOVERED_AFTER), FIRST);
    }
}

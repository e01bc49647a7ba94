//! Which endpoints are passed over for a while because they failed.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::metrics;

/// Time that an endpoint is passed over after its first failure; doubles with each further one.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// Longest time that an endpoint is passed over.
const MAX_EJECTION: Duration = Duration::from_secs(30);
/// Longest wait for the outcome of a trial, before another one may be made.
const TRIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls one after the other that an endpoint answers with UNAVAILABLE before it is passed over.
const MAX_UNAVAILABLE: u32 = 5;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now_ms() -> u64 {
    START.elapsed().as_millis() as u64
}

/// Why an endpoint is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// No connection can be made, or one broke.
    Connection,
    /// It answers, but with UNAVAILABLE.
    Answers,
}

impl Cause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Answers => "unavailable",
        }
    }
}

/// What may be sent to an endpoint now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Anything.
    Well,
    /// Nothing, where there is another one.
    Ejected,
    /// The time is over: one trial, which [`Health::begin_trial`] gives away.
    Due(Cause),
}

/// The endpoints of one upstream, as far as each must know of the others.
#[derive(Debug)]
pub(super) struct Peers {
    /// The upstream, for metrics.
    name: Box<str>,
    count: AtomicUsize,
    ejected: AtomicUsize,
    /// Whether other upstreams do the same, so that all of these may be passed over.
    has_others: AtomicBool,
}

impl Peers {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            count: AtomicUsize::new(0),
            ejected: AtomicUsize::new(0),
            has_others: AtomicBool::new(false),
        }
    }

    /// Other upstreams take its calls where no endpoint is left.
    pub(super) fn stand_beside_others(&self) {
        self.has_others.store(true, Ordering::Relaxed);
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn set_count(&self, count: usize) {
        self.count.store(count, Ordering::Relaxed);
        metrics::endpoints(&self.name, count);
    }

    /// Whether at least half of the endpoints stay with one more ejected: where more of them answer with UNAVAILABLE, the
    /// fault is behind all of them. Unless others do the same.
    fn may_lose_one(&self) -> bool {
        let ejected = self.ejected.load(Ordering::Relaxed) + 1;
        self.has_others.load(Ordering::Relaxed) || ejected * 2 <= self.count.load(Ordering::Relaxed)
    }
}

/// Failures of one endpoint since its last success.
#[derive(Debug)]
pub(super) struct Health {
    peers: Arc<Peers>,
    /// Ejections since the last success.
    ejections: AtomicU32,
    /// Answers of UNAVAILABLE since any other one.
    unavailable: AtomicU32,
    /// Milliseconds since [`START`]; 0 where the endpoint is well.
    ejected_until: AtomicU64,
    by_answers: AtomicBool,
    on_trial: AtomicBool,
}

impl Health {
    pub(super) fn new(peers: &Arc<Peers>) -> Self {
        Self {
            peers: peers.clone(),
            ejections: AtomicU32::new(0),
            unavailable: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            by_answers: AtomicBool::new(false),
            on_trial: AtomicBool::new(false),
        }
    }

    /// No connection could be made, or one broke.
    pub(super) fn failed(&self) {
        self.eject(Cause::Connection);
    }

    /// It answered a call with UNAVAILABLE.
    pub(super) fn unavailable(&self) {
        let times = self.unavailable.fetch_add(1, Ordering::Relaxed) + 1;
        let is_out = self.ejected_until.load(Ordering::Relaxed) != 0;
        if is_out || (times >= MAX_UNAVAILABLE && self.peers.may_lose_one()) {
            self.eject(Cause::Answers);
        }
    }

    fn eject(&self, cause: Cause) {
        let was_tried = self.on_trial.swap(false, Ordering::Relaxed);
        if self.state() == State::Ejected && !was_tried {
            // One death is noticed by every connection.
            return;
        }
        let before = self.ejections.fetch_add(1, Ordering::Relaxed);
        let ejection = FIRST_EJECTION * (1 << before.min(8));
        let until = now_ms() + ejection.min(MAX_EJECTION).as_millis() as u64;
        self.by_answers
            .store(cause == Cause::Answers, Ordering::Relaxed);
        if self.ejected_until.swap(until, Ordering::Relaxed) == 0 {
            self.peers.ejected.fetch_add(1, Ordering::Relaxed);
            metrics::ejected(&self.peers.name, cause.name());
        }
    }

    /// It answered a call other than with UNAVAILABLE.
    pub(super) fn answered(&self) {
        // Read first: a store would take the cache line from other workers at every call.
        if self.unavailable.load(Ordering::Relaxed) != 0 {
            self.unavailable.store(0, Ordering::Relaxed);
        }
        if self.ejections.load(Ordering::Relaxed) != 0 {
            self.ejections.store(0, Ordering::Relaxed);
            self.returned();
        }
    }

    /// A connection was made, which is all that was wrong where none could be before.
    pub(super) fn connected(&self) {
        if !self.by_answers.load(Ordering::Relaxed) {
            self.answered();
        }
    }

    fn returned(&self) {
        self.on_trial.store(false, Ordering::Relaxed);
        if self.ejected_until.swap(0, Ordering::Relaxed) != 0 {
            self.peers.ejected.fetch_sub(1, Ordering::Relaxed);
            metrics::returned(&self.peers.name);
        }
    }

    pub(super) fn state(&self) -> State {
        match self.ejected_until.load(Ordering::Relaxed) {
            0 => State::Well,
            until if now_ms() < until => State::Ejected,
            _ if self.by_answers.load(Ordering::Relaxed) => State::Due(Cause::Answers),
            _ => State::Due(Cause::Connection),
        }
    }

    /// Whether the caller is the one who tries an endpoint whose time is over.
    pub(super) fn begin_trial(&self) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        let now = now_ms();
        if until == 0 || now < until {
            return false;
        }
        let next = now + TRIAL_TIMEOUT.as_millis() as u64;
        let begun =
            self.ejected_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed);
        if begun.is_ok() {
            self.on_trial.store(true, Ordering::Relaxed);
        }
        begun.is_ok()
    }

    #[cfg(test)]
    fn let_time_pass(&self) {
        assert_ne!(self.ejected_until.load(Ordering::Relaxed), 0);
        self.ejected_until.store(1, Ordering::Relaxed);
        while now_ms() < 1 {}
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.returned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: usize) -> Vec<Health> {
        let peers = Arc::new(Peers::new("test"));
        peers.set_count(count);
        (0..count).map(|_| Health::new(&peers)).collect()
    }

    #[test]
    fn a_failure_ejects_until_a_success() {
        let all = of(1);
        let health = &all[0];
        assert_eq!(health.state(), State::Well);
        for _ in 0..40 {
            health.failed();
        }
        assert_eq!(health.state(), State::Ejected);
        // One death, however many notice it.
        assert_eq!(health.ejections.load(Ordering::Relaxed), 1);
        health.connected();
        assert_eq!(health.state(), State::Well);
    }

    #[test]
    fn one_trial_is_made_when_the_time_is_over() {
        let all = of(1);
        let health = &all[0];
        assert!(!health.begin_trial());
        health.failed();
        assert!(!health.begin_trial());
        health.let_time_pass();
        assert_eq!(health.state(), State::Due(Cause::Connection));
        assert!(health.begin_trial());
        assert!(!health.begin_trial());
        assert_eq!(health.state(), State::Ejected);
        // It failed: passed over again, for longer.
        health.failed();
        assert_eq!(health.state(), State::Ejected);
        assert_eq!(health.ejections.load(Ordering::Relaxed), 2);
        health.answered();
        assert_eq!(health.state(), State::Well);
    }

    #[test]
    fn answers_of_unavailable_eject_half_of_all_at_most() {
        let all = of(3);
        let fail = |health: &Health, times| (0..times).for_each(|_| health.unavailable());
        fail(&all[0], MAX_UNAVAILABLE - 1);
        all[0].answered();
        fail(&all[0], MAX_UNAVAILABLE - 1);
        assert_eq!(all[0].state(), State::Well);
        fail(&all[0], 1);
        assert_eq!(all[0].state(), State::Ejected);
        fail(&all[1], MAX_UNAVAILABLE * 2);
        assert_eq!(all[1].state(), State::Well);

        all[0].let_time_pass();
        assert_eq!(all[0].state(), State::Due(Cause::Answers));
        assert!(all[0].begin_trial());
        // A connection is not what it lacked; one more such answer is enough.
        all[0].connected();
        assert_eq!(all[0].state(), State::Ejected);
        fail(&all[0], 1);
        assert_eq!(all[0].ejections.load(Ordering::Relaxed), 2);
        let alone = of(1);
        fail(&alone[0], MAX_UNAVAILABLE * 2);
        assert_eq!(alone[0].state(), State::Well);
    }
}

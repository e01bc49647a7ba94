//! How many calls of one rpc run at once: as many as still get done in time.
//!
//! The limit starts at its ceiling. It falls by a quarter where calls take too long on average, which means that they wait for
//! each other, and rises by an eighth where they do not. Too long is longer than a setting and than three times of what the rpc
//! takes while it has little to do: an rpc that waits for somebody slow is not overloaded.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Time over which calls are looked at together.
const WINDOW: Duration = Duration::from_millis(100);
/// How often the usual time of a call may be exceeded.
const TOLERANCE: f64 = 3.0;
/// Share of the newest call in the usual time of a call.
const USUAL_WEIGHT: f64 = 1.0 / 16.0;
/// Calls that wait for an outcome at once, beside those that work.
const MAX_WAITING: usize = 8_192;

/// Bounds of the limit of every rpc.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Calls of an rpc at once that are taken however long they take.
    pub(crate) floor: usize,
    /// Most calls of an rpc at once.
    pub(crate) ceiling: usize,
    /// Mean time of a call up to which an rpc is not overloaded.
    pub(crate) latency: Duration,
}

/// The calls of one rpc.
#[derive(Debug)]
pub(super) struct Limiter {
    bounds: Bounds,
    limit: AtomicUsize,
    running: AtomicUsize,
    waiting: AtomicUsize,
    window: Mutex<Window>,
}

/// What was seen since the limit was last looked at.
#[derive(Debug)]
struct Window {
    start: Instant,
    /// Calls that began earlier say how it was before the limit fell.
    fell: Instant,
    seconds: f64,
    calls: u32,
    /// Most calls at once.
    peak: usize,
    /// Mean time of a call that runs beside few others, in seconds.
    usual: Option<f64>,
}

/// A call that runs; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    limiter: Arc<Limiter>,
    start: Instant,
    /// Calls at once when it began, itself included; `None` where it waits rather than works.
    beside: Option<usize>,
    went_well: AtomicBool,
}

impl Limiter {
    pub(super) fn new(bounds: Bounds) -> Self {
        let now = Instant::now();
        Self {
            bounds,
            limit: AtomicUsize::new(bounds.ceiling),
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            window: Mutex::new(Window {
                start: now,
                fell: now,
                seconds: 0.0,
                calls: 0,
                peak: 0,
                usual: None,
            }),
        }
    }

    /// How many calls may run at once now.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Whether one more call is taken. One that mostly waits is turned away where others are, but is counted for itself.
    pub(super) fn has_room(&self, waits: bool) -> bool {
        let is_free = self.running.load(Relaxed) < self.limit();
        is_free && (!waits || self.waiting.load(Relaxed) < MAX_WAITING)
    }

    /// Takes a call in, where it is not one too many, and counts it from now on.
    pub(super) fn enter(self: &Arc<Self>, waits: bool) -> Option<Place> {
        let (count, most) = match waits {
            true => (&self.waiting, MAX_WAITING),
            false => (&self.running, self.limit()),
        };
        let beside = count.fetch_add(1, Relaxed) + 1;
        if beside > most {
            count.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Place {
            limiter: self.clone(),
            start: Instant::now(),
            beside: (!waits).then_some(beside),
            went_well: AtomicBool::new(false),
        })
    }

    /// Learns from a call, and moves the limit where it is time to.
    fn learn(&self, start: Instant, beside: usize, now: Instant) {
        let took = now.saturating_duration_since(start).as_secs_f64();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if start >= window.fell {
            window.seconds += took;
            window.calls += 1;
        }
        window.peak = window.peak.max(beside);
        if beside <= self.bounds.floor.div_ceil(4) {
            let usual = window.usual.unwrap_or(took);
            window.usual = Some(usual + (took - usual) * USUAL_WEIGHT);
        }
        if window.calls == 0 || now.saturating_duration_since(window.start) < WINDOW {
            return;
        }
        let mean = window.seconds / f64::from(window.calls);
        let tolerated = window.usual.unwrap_or_default() * TOLERANCE;
        let is_late = mean > tolerated.max(self.bounds.latency.as_secs_f64());
        let floor = self.bounds.floor.min(self.bounds.ceiling);
        let limit = self.limit();
        let next = if !is_late {
            (limit + limit / 8 + 1).min(self.bounds.ceiling)
        } else if window.peak >= floor {
            window.fell = now;
            (limit.min(window.peak) * 3 / 4).max(floor)
        } else {
            limit
        };
        self.limit.store(next, Relaxed);
        window.start = now;
        window.seconds = 0.0;
        window.calls = 0;
        window.peak = 0;
    }
}

impl Place {
    /// The call was answered, and not by a refusal, which says nothing of how long the work takes.
    pub(super) fn went_well(&self) {
        self.went_well.store(true, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(beside) = self.beside else {
            self.limiter.waiting.fetch_sub(1, Relaxed);
            return;
        };
        self.limiter.running.fetch_sub(1, Relaxed);
        let now = Instant::now();
        // Also what was given up says that it took too long.
        if *self.went_well.get_mut() || now - self.start > self.limiter.bounds.latency {
            self.limiter.learn(self.start, beside, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        floor: 8,
        ceiling: 100,
        latency: Duration::from_millis(50),
    };

    /// A limiter's life in made-up time: windows of calls that took so long beside so many.
    struct Life {
        limiter: Arc<Limiter>,
        now: Instant,
    }

    impl Life {
        fn new() -> Self {
            Self {
                limiter: Arc::new(Limiter::new(BOUNDS)),
                now: Instant::now(),
            }
        }

        fn window(&mut self, took_ms: u64, beside: usize) -> usize {
            // Longer than the call: it began after the limit fell.
            self.now += WINDOW + Duration::from_millis(took_ms);
            let start = self.now - Duration::from_millis(took_ms);
            self.limiter.learn(start, beside, self.now);
            self.limiter.limit()
        }
    }

    #[test]
    fn the_limit_falls_to_its_floor_while_calls_are_late_and_rises_again() {
        let mut life = Life::new();
        assert_eq!(life.window(10, 100), 100);
        assert_eq!(life.window(60, 40), 30, "from what ran at once");
        let mut limits = Vec::new();
        for _ in 0..10 {
            limits.push(life.window(60, 40));
        }
        assert_eq!(limits.last(), Some(&BOUNDS.floor));
        assert!(limits.is_sorted_by(|a, b| a >= b));
        let windows = (1..100).find(|_| life.window(10, 8) == BOUNDS.ceiling);
        assert!(windows.is_some_and(|windows| windows < 40), "{windows:?}");
    }

    #[test]
    fn few_calls_are_never_too_many() {
        let mut life = Life::new();
        for _ in 0..10 {
            assert_eq!(life.window(500, BOUNDS.floor - 1), BOUNDS.ceiling);
        }
    }

    #[test]
    fn an_rpc_that_always_takes_long_is_not_overloaded() {
        let mut life = Life::new();
        for _ in 0..10 {
            life.window(300, 1);
        }
        assert_eq!(life.window(600, 100), BOUNDS.ceiling);
        assert_eq!(life.window(1000, 100), 75);
    }

    #[test]
    fn calls_from_before_the_fall_say_nothing() {
        let mut life = Life::new();
        assert_eq!(life.window(60, 100), 75);
        for _ in 0..10 {
            life.now += WINDOW;
            let early = life.now - Duration::from_secs(10);
            life.limiter.learn(early, 75, life.now);
        }
        assert_eq!(life.limiter.limit(), 75);
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let limiter = Arc::new(Limiter::new(Bounds {
            ceiling: 2,
            ..BOUNDS
        }));
        let (first, waiting, second) = (
            limiter.enter(false),
            limiter.enter(true),
            limiter.enter(false),
        );
        assert!(first.is_some() && second.is_some() && waiting.is_some());
        assert!(limiter.enter(false).is_none());
        assert!(!limiter.has_room(false) && !limiter.has_room(true));
        drop(first);
        assert!(limiter.has_room(false) && limiter.has_room(true));
        assert!(limiter.enter(false).is_some());
        drop((second, waiting));
        assert_eq!(limiter.running.load(Relaxed), 0);
        assert_eq!(limiter.waiting.load(Relaxed), 0);
    }
}

//! As many at a time as asked for, each beginning anew as soon as it has ended.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures::future::join_all;

/// Part of a run that goes before it without being measured.
const WARM_UP_PART: u32 = 4;

/// What one run measured.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) at_a_time: usize,
    pub(crate) length: Duration,
    /// Of each that ended well within the run, shortest first.
    pub(crate) latencies: Vec<Duration>,
    /// That ended well, also after the run.
    pub(crate) ended: usize,
    /// That did not end well.
    pub(crate) failures: usize,
}

impl Load {
    /// That ended well within the run, per second.
    pub(crate) fn per_s(&self) -> f64 {
        self.latencies.len() as f64 / self.length.as_secs_f64()
    }

    /// A counter's growth, per one that ended well.
    pub(crate) fn each(&self, growth: f64) -> f64 {
        growth / self.ended.max(1) as f64
    }
}

/// Runs without measuring, so that connections, caches and pools are warm.
pub(crate) async fn warm_up<F>(at_a_time: usize, length: Duration, one: impl Fn() -> F)
where
    F: Future<Output = bool>,
{
    run(at_a_time, length / WARM_UP_PART, one).await;
}

/// Runs `one` again and again, `at_a_time` side by side, until the time is over and the last has ended.
pub(crate) async fn run<F>(at_a_time: usize, length: Duration, one: impl Fn() -> F) -> Load
where
    F: Future<Output = bool>,
{
    let (began, one) = (Instant::now(), &one);
    let lanes = (0..at_a_time).map(|_| async move {
        let (mut ended, mut failures) = (Vec::new(), 0);
        while began.elapsed() < length {
            let start = Instant::now();
            if one().await {
                ended.push((began.elapsed(), start.elapsed()));
            } else {
                failures += 1;
            }
        }
        (ended, failures)
    });
    let lanes = join_all(lanes).await;
    let failures = lanes.iter().map(|(_, failures)| failures).sum();
    let all: Vec<_> = lanes.into_iter().flat_map(|(ended, _)| ended).collect();
    let in_time = all.iter().filter(|(at, _)| *at <= length);
    let mut latencies: Vec<_> = in_time.map(|(_, latency)| *latency).collect();
    latencies.sort_unstable();
    Load {
        at_a_time,
        length,
        latencies,
        ended: all.len(),
        failures,
    }
}

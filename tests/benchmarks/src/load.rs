//! As many at a time as asked for, each beginning anew as soon as it has ended.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures::future::join_all;

/// Part of a run that goes before it without being measured.
pub(crate) const WARM_UP_PART: u32 = 4;

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
    let began = Instant::now();
    let lanes = (0..at_a_time).map(|_| lane(began, length, &one));
    summed_up(at_a_time, length, join_all(lanes).await)
}

/// As [`run`], each in a task of its own, as the calls of a server are: all threads of the runtime share them.
pub(crate) async fn run_in_tasks<F, O>(at_a_time: usize, length: Duration, one: O) -> Load
where
    F: Future<Output = bool> + Send,
    O: Fn() -> F + Clone + Send + Sync + 'static,
{
    let began = Instant::now();
    let lanes = (0..at_a_time).map(|_| {
        let one = one.clone();
        tokio::spawn(async move { lane(began, length, &one).await })
    });
    let lanes = join_all(lanes).await.into_iter();
    let lanes = lanes.map(|lane| lane.expect("nobody panics")).collect();
    summed_up(at_a_time, length, lanes)
}

/// What one lane did: when each ended well after the beginning, how long it took, and how many did not end well.
type Lane = (Vec<(Duration, Duration)>, usize);

async fn lane<F>(began: Instant, length: Duration, one: &impl Fn() -> F) -> Lane
where
    F: Future<Output = bool>,
{
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
}

fn summed_up(at_a_time: usize, length: Duration, lanes: Vec<Lane>) -> Load {
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

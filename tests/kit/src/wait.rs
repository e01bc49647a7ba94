//! Waiting for a condition with a deadline: tests never sleep a fixed time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Longest that a test waits for what should happen within a second or two on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Looks again and again until `look` answers `Ok`, at most for [`PATIENCE`].
///
/// # Panics
/// When the time is over: with `what` and the last `Err`.
pub async fn until<T, E, F>(what: &str, look: impl FnMut() -> F) -> T
where
    E: std::fmt::Debug,
    F: Future<Output = Result<T, E>>,
{
    within(PATIENCE, what, look).await
}

/// As [`until`], with a patience of its own.
///
/// # Panics
/// When the time is over: with `what` and the last `Err`.
pub async fn within<T, E, F>(patience: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    E: std::fmt::Debug,
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + patience;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(last) if Instant::now() >= deadline => {
                panic!("not within {patience:?}: {what}; last seen: {last:?}")
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

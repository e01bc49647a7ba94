//! Retries of calls that may be repeated.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::{backoff::jitter, context};

/// Most tries of one call, the first included.
const MAX_TRIES: u32 = 4;
/// Longest wait before the first repetition; doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
/// Longest wait before any repetition.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Makes a call again that could not be made (UNAVAILABLE) or lost a race (ABORTED). Only for calls that may be repeated.
///
/// Stops after a few tries, and as soon as the deadline of the request at hand would pass while it waits.
///
/// # Errors
/// The last try's.
pub async fn retry<T, F, Fut>(mut call: F) -> Result<T, Status>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Status>>,
{
    let deadline = context::current().and_then(|context| context.deadline);
    let mut ceiling = FIRST_BACKOFF;
    for _ in 1..MAX_TRIES {
        let status = match call().await {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::Aborted) => status,
            outcome => return outcome,
        };
        let wait = jitter(ceiling);
        if deadline.is_some_and(|deadline| Instant::now() + wait >= deadline) {
            return Err(status);
        }
        sleep(wait).await;
        ceiling = (ceiling * 2).min(MAX_BACKOFF);
    }
    call().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::context::Context;

    async fn tries(outcome: impl Fn(u32) -> Result<u32, Status>) -> (u32, Result<u32, Status>) {
        let tries = Cell::new(0);
        let result = retry(|| {
            tries.set(tries.get() + 1);
            let outcome = outcome(tries.get());
            async { outcome }
        })
        .await;
        (tries.get(), result)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_repeated() {
        assert_eq!(tries(Ok).await.0, 1);
        assert_eq!(tries(|_| Err(Status::not_found(""))).await.0, 1);
        let (count, result) = tries(|n| {
            if n < 3 {
                Err(Status::unavailable(""))
            } else {
                Ok(n)
            }
        })
        .await;
        assert_eq!((count, result.unwrap()), (3, 3));
        let (count, result) = tries(|_| Err(Status::aborted(""))).await;
        assert_eq!(
            (count, result.unwrap_err().code()),
            (MAX_TRIES, Code::Aborted)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_it() {
        let mut context = Context::new(None);
        context.deadline = Some(Instant::now());
        assert_eq!(
            context::scope(context, tries(|_| Err(Status::unavailable(""))))
                .await
                .0,
            1
        );
    }
}

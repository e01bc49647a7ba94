//! Background work of a service, watched: what fails is not missed.

use std::{future::Future, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Work that waits for its token to begin.
pub(super) struct Task {
    name: String,
    work: Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>,
}

/// Names work.
pub(super) fn task<F, Fut>(name: &str, work: F) -> Task
where
    F: FnOnce(CancellationToken) -> Fut + Send + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    Task {
        name: name.to_owned(),
        work: Box::new(|stop| work(stop).boxed()),
    }
}

/// The running tasks of a service.
pub(super) struct Tasks {
    running: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Tasks {
    pub(super) fn start(tasks: Vec<Task>) -> Self {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        for Task { name, work } in tasks {
            let work = work(stop.clone());
            // No span: it would put all that the task ever does into one trace.
            running.spawn(async move {
                work.await
                    .map_err(|error| error.context(format!("task `{name}` failed")))
            });
        }
        Self { running, stop }
    }

    /// Waits for a failure; for ever where there is none.
    pub(super) async fn failure(&mut self) -> anyhow::Error {
        while let Some(ended) = self.running.join_next().await {
            if let Some(error) = failed(ended) {
                return error;
            }
        }
        std::future::pending().await
    }

    /// Asks all to stop and waits for them.
    ///
    /// # Errors
    /// One failed, or some did not stop within `limit`.
    pub(super) async fn stop(mut self, limit: Duration) -> anyhow::Result<()> {
        self.stop.cancel();
        let all = async {
            let mut first = None;
            while let Some(ended) = self.running.join_next().await {
                first = first.or(failed(ended));
            }
            first
        };
        match tokio::time::timeout(limit, all).await {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(anyhow::anyhow!(
                "{} background tasks did not stop in time",
                self.running.len()
            )),
        }
    }
}

/// The failure of a task that ended. A panic is logged where it happens.
fn failed(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> Option<anyhow::Error> {
    match ended {
        Ok(outcome) => outcome.err(),
        Err(error) => Some(anyhow::anyhow!("a background task panicked: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_task_is_noticed() {
        let mut tasks = Tasks::start(vec![
            task("fine", |_| async { Ok(()) }),
            task("broken", |_| async { anyhow::bail!("no luck") }),
        ]);
        assert_eq!(
            format!("{:#}", tasks.failure().await),
            "task `broken` failed: no luck"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_stop_when_asked_or_are_named() {
        let obedient = task("obedient", |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        assert!(
            Tasks::start(vec![obedient])
                .stop(Duration::from_secs(1))
                .await
                .is_ok()
        );
        let deaf = task("deaf", |_| std::future::pending());
        let error = Tasks::start(vec![deaf])
            .stop(Duration::from_secs(1))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "1 background tasks did not stop in time");
    }
}

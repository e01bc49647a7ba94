//! Whether a process can do its work: named checks, asked again and again, with one answer for probes.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use futures::{
    FutureExt as _,
    future::{BoxFuture, join_all},
};
use serde::Serialize;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// Time between two rounds of checks.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two rounds until the first that succeeds, so that a start is noticed at once.
const START_INTERVAL: Duration = Duration::from_millis(20);
/// Rounds at that pace before the process counts as merely not ready.
const START_ROUNDS: u32 = 250;
/// Longest time of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// What a round of checks came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether work may be sent here.
    pub ready: bool,
    /// Whether the process is on its way out.
    pub draining: bool,
    /// `ok`, or what is wrong, by the check's name.
    pub checks: BTreeMap<String, String>,
}

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The checks of a process.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(String, Check)>,
}

impl Readiness {
    /// No checks: always ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check. Its error's text is shown to operators at /readyz and in the log: no secrets.
    #[must_use]
    pub fn when<F, Fut, E>(mut self, name: &str, check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: ToString,
    {
        let check: Check = Arc::new(move || {
            let check = check();
            async move { check.await.map_err(|error| error.to_string()) }.boxed()
        });
        self.checks.push((name.to_owned(), check));
        self
    }

    /// Asks all checks now and then again every second, until `drain`: from then on the answer is no.
    pub fn watch(self, drain: CancellationToken) -> watch::Receiver<Report> {
        let unknown = self
            .checks
            .iter()
            .map(|(name, _)| (name.clone(), "not checked yet".to_owned()))
            .collect();
        let (sender, receiver) = watch::channel(Report {
            ready: false,
            draining: false,
            checks: unknown,
        });
        tokio::spawn(async move {
            drain.run_until_cancelled(self.keep_asking(&sender)).await;
            sender.send_modify(|report| (report.ready, report.draining) = (false, true));
        });
        receiver
    }

    async fn keep_asking(&self, sender: &watch::Sender<Report>) {
        let mut started = 0;
        loop {
            let report = self.ask().await;
            let ready = report.ready;
            sender.send_if_modified(|last| {
                let changed = *last != report;
                if changed {
                    announce(&report, last.ready);
                    *last = report;
                }
                changed
            });
            started = if ready { START_ROUNDS } else { started + 1 };
            tokio::time::sleep(if started < START_ROUNDS {
                START_INTERVAL
            } else {
                INTERVAL
            })
            .await;
        }
    }

    async fn ask(&self) -> Report {
        let checks = self.checks.iter().map(|(name, check)| async move {
            let outcome = match timeout(CHECK_TIMEOUT, check()).await {
                Ok(Ok(())) => "ok".to_owned(),
                Ok(Err(error)) => error,
                Err(_) => "no answer in time".to_owned(),
            };
            (name.clone(), outcome)
        });
        let checks: BTreeMap<_, _> = join_all(checks).await.into_iter().collect();
        Report {
            ready: checks.values().all(|outcome| outcome == "ok"),
            draining: false,
            checks,
        }
    }
}

fn announce(report: &Report, was_ready: bool) {
    if report.ready {
        tracing::info!("ready");
    } else if was_ready {
        tracing::warn!(checks = ?report.checks, "not ready");
    } else {
        tracing::debug!(checks = ?report.checks, "not ready yet");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_answer_follows_the_checks_until_the_drain() {
        let up = Arc::new(AtomicBool::new(false));
        let drain = CancellationToken::new();
        let asked = up.clone();
        let mut report = Readiness::new()
            .when("always", || async { Ok::<_, String>(()) })
            .when("link", move || {
                let up = asked.load(Ordering::SeqCst);
                async move { up.then_some(()).ok_or("down") }
            })
            .watch(drain.clone());
        assert!(!report.borrow().ready);

        report
            .wait_for(|report| report.checks["link"] == "down")
            .await
            .unwrap();
        up.store(true, Ordering::SeqCst);
        report.wait_for(|report| report.ready).await.unwrap();
        up.store(false, Ordering::SeqCst);
        report
            .wait_for(|report| !report.ready && report.checks["always"] == "ok")
            .await
            .unwrap();
        up.store(true, Ordering::SeqCst);
        report.wait_for(|report| report.ready).await.unwrap();

        drain.cancel();
        let last = report.wait_for(|report| report.draining).await.unwrap();
        assert!(!last.ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_named() {
        let report = Readiness::new()
            .when("stuck", std::future::pending::<Result<(), String>>)
            .ask()
            .await;
        assert_eq!(report.checks["stuck"], "no answer in time");
    }
}

//! Running and draining: not ready, stop accepting, finish what runs, stop the background, go.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use super::{Bound, tasks::Tasks};
use crate::{admin, readiness::Report, server};

/// Share of the drain time that calls may use; the rest is for relay, consumers and tasks.
const CALLS_SHARE_PERCENT: u32 = 80;

impl Bound {
    /// Serves until the kit's drain token is cancelled, then drains.
    ///
    /// # Errors
    /// A task or the server failed, or calls or tasks did not finish within the drain timeout.
    pub async fn run(self) -> anyhow::Result<()> {
        let (grpc_addr, admin_addr) = (self.grpc_addr()?, self.admin_addr()?);
        let drain = self.kit.drain();
        let report = self.readiness.watch(drain.clone());
        let health = tokio::spawn(show_health(self.health, self.names, report.clone()));
        let admin = tokio::spawn(admin::serve(self.admin, report, self.kit.metrics()));
        let mut tasks = Tasks::start(self.tasks);
        let closing = CancellationToken::new();
        let transport = &self.kit.common().transport;
        let mut calls = tokio::spawn(server::serve(
            self.grpc,
            transport.limits(),
            self.kit.common().overload.bounds(),
            self.kit.tls(),
            self.routes,
            (self.access, transport.proxies()),
            closing.clone(),
        ));
        self.kit.set_serving();
        tracing::info!(grpc = %grpc_addr, admin = %admin_addr, "serving");

        let failure = tokio::select! {
            () = drain.cancelled() => None,
            error = tasks.failure() => Some(error),
            ended = &mut calls => Some(served(ended).err().unwrap_or_else(|| anyhow::anyhow!("the server ended by itself"))),
        };
        let timeout = self.kit.common().drain_timeout;
        let start = Instant::now();
        tracing::info!(timeout_s = timeout.as_secs_f64(), "draining");

        // Not ready: whoever asks sends work elsewhere.
        drain.cancel();
        let _ = health.await;
        // Stop accepting; calls under way go on, streams end.
        closing.cancel();
        let calls = finish_calls(calls, timeout * CALLS_SHARE_PERCENT / 100).await;
        // Nothing makes new events or asks for locks any more.
        let tasks = tasks.stop(timeout.saturating_sub(start.elapsed())).await;
        if let Some(nats) = self.kit.opened_nats() {
            // What was acknowledged to the broker should leave; what does not is delivered again.
            let _ =
                tokio::time::timeout(timeout.saturating_sub(start.elapsed()), nats.flush()).await;
        }
        admin.abort();
        match failure {
            Some(error) => Err(error),
            None => calls.and(tasks),
        }
    }
}

/// Keeps the health service's answers as the checks say, until the drain.
async fn show_health(
    health: HealthReporter,
    names: Vec<&'static str>,
    mut report: watch::Receiver<Report>,
) {
    loop {
        let (ready, draining) = {
            let report = report.borrow_and_update();
            (report.ready, report.draining)
        };
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in names.iter().copied().chain([""]) {
            health.set_service_status(name, status).await;
        }
        if draining || report.changed().await.is_err() {
            return;
        }
    }
}

/// Waits for calls under way. One that takes longer is cut off; its caller sees UNAVAILABLE and its effects are whole or
/// none, since they are in units of work.
async fn finish_calls(
    mut calls: JoinHandle<Result<(), tonic::transport::Error>>,
    limit: Duration,
) -> anyhow::Result<()> {
    if calls.is_finished() {
        return Ok(());
    }
    match tokio::time::timeout(limit, &mut calls).await {
        Ok(ended) => served(ended),
        Err(_) => {
            calls.abort();
            Err(anyhow::anyhow!(
                "calls did not finish within {}",
                humantime::format_duration(limit)
            ))
        }
    }
}

fn served(
    ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    ended
        .context("the gRPC server panicked")?
        .context("the gRPC server failed")
}

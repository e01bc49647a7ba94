//! New contracts while the gateway runs.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::telemetry;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge},
};
use tokio_util::sync::CancellationToken;

use super::{Gathered, Sources};
use crate::{api::Api, gateway::Gateway, upstream::Directory};

static RELOADS: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("gateway_contract_reloads")
        .with_description(
            "New contracts: swapped in, refused since they do not compile, or unreadable",
        )
        .build()
});

static ROUTES: LazyLock<Gauge<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_gauge("gateway_contract_routes")
        .with_description("Routes of the contract that is served")
        .build()
});

/// What the watching stands on.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What is read.
    pub sources: Sources,
    /// Where services of new contracts are.
    pub directory: Arc<Directory>,
    /// Time between two looks.
    pub interval: Duration,
    /// Set once all sources have been read and what they say is served.
    pub is_served: Arc<AtomicBool>,
}

/// Looks at the sources again and again, and swaps a contract that changed into `gateway`, until `stop`. A contract that
/// does not compile, or a source that cannot be read, leaves the old one in place.
pub async fn watch(watch: Watch, gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut last: Option<Gathered> = None;
    let mut last_fault = String::new();
    loop {
        match watch.sources.gather().await {
            Ok(gathered) => {
                last_fault.clear();
                if last.as_ref() != Some(&gathered) {
                    watch.swap(&gathered, &gateway);
                    last = Some(gathered);
                }
            }
            Err(error) => {
                let fault = format!("{error:#}");
                RELOADS.add(1, &[KeyValue::new("outcome", "unreadable")]);
                // Said once, not at every look.
                if fault != last_fault {
                    tracing::warn!(error = fault, "a source of contracts cannot be read");
                    last_fault = fault;
                }
            }
        }
        let pause = tokio::time::sleep(watch.interval);
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

impl Watch {
    fn swap(&self, gathered: &Gathered, gateway: &Gateway) {
        let start = Instant::now();
        let contract = self.sources.contract(gathered);
        let api = contract
            .and_then(|contract| Api::compile(&contract, &self.directory, &gateway.policies));
        match api {
            Ok(api) => {
                let routes = api.rest().bindings().len();
                gateway.swap(api);
                self.is_served.store(true, Ordering::Release);
                record_routes(routes);
                RELOADS.add(1, &[KeyValue::new("outcome", "swapped")]);
                let compile_ms = start.elapsed().as_millis() as u64;
                tracing::info!(routes, compile_ms, "serving a new contract");
            }
            Err(error) => {
                RELOADS.add(1, &[KeyValue::new("outcome", "refused")]);
                tracing::error!(
                    error = format!("{error:#}"),
                    "a new contract does not compile; the old one stays"
                );
            }
        }
    }
}

/// Tells the metric how many routes there are.
pub(crate) fn record_routes(routes: usize) {
    ROUTES.record(routes as u64, &[]);
}

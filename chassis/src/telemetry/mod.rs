//! Logs, traces and metrics of a process; usable without the rest of the chassis.

mod json;
mod metrics;
mod trace;

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
};

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

pub use metrics::{Metrics, meter};
pub use trace::{Kind, continue_trace, entry_span, traceparent};

use crate::config::{self, LogFormat};

/// Changes which log lines are written.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Which log lines are written; empty where telemetry was not set up.
pub fn filter() -> String {
    FILTER
        .get()
        .and_then(|filter| filter.with_current(ToString::to_string).ok())
        .unwrap_or_default()
}

/// Changes which log lines are written, as RUST_LOG would. Answers what it was.
///
/// # Errors
/// The text is not a filter, or telemetry was not set up.
pub fn set_filter(text: &str) -> anyhow::Result<String> {
    let parsed = EnvFilter::try_new(text).with_context(|| format!("`{text}` is not a filter"))?;
    let previous = filter();
    FILTER
        .get()
        .context("telemetry is not set up")?
        .reload(parsed)?;
    Ok(previous)
}

/// Keeps exporters alive; flush them with [`Guard::shutdown`] before the process ends.
#[derive(Debug)]
pub struct Guard {
    traces: opentelemetry_sdk::trace::SdkTracerProvider,
    metrics: Metrics,
}

impl Guard {
    /// The metrics of this process, for `/metrics`.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Sends what exporters still hold. Blocks for some seconds at most.
    pub fn shutdown(self) {
        // There is nobody left to tell about a failure: the exporters have logged it themselves.
        let _ = self.traces.shutdown();
        self.metrics.shutdown();
    }
}

/// Sets up logs on stdout, trace ids, metrics and panics as log lines. Call it once, within a tokio runtime.
///
/// # Errors
/// The filter or the OTLP endpoint is malformed, or telemetry was set up before.
pub fn init(service: &str, config: &config::Telemetry) -> anyhow::Result<Guard> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .with_context(|| format!("RUST_LOG: `{}` is not a filter", config.log_filter))?;
    let resource = Resource::builder_empty()
        .with_attributes([KeyValue::new("service.name", service.to_owned())])
        .build();
    let endpoint = config
        .otlp_endpoint
        .as_deref()
        .filter(|endpoint| !endpoint.is_empty());
    let traces = trace::provider(resource.clone(), endpoint)?;
    let metrics = Metrics::new(resource, endpoint)?;

    let format = config
        .log_format
        .unwrap_or(match io::stdout().is_terminal() {
            true => LogFormat::Text,
            false => LogFormat::Json,
        });
    // Boxed: an `Option` would keep the subscriber from the layer that looks traces up in it.
    let lines = match format {
        LogFormat::Json => json::JsonLines::new(service, io::stdout).boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_ansi(io::stdout().is_terminal())
            .boxed(),
    };
    let (filter, changes) = reload::Layer::new(filter);
    tracing_subscriber::registry()
        .with(filter)
        .with(trace::layer(&traces))
        .with(lines)
        .try_init()
        .context("telemetry is set up already")?;
    // Set up once only: the line before would have failed.
    let _ = FILTER.set(changes);
    log_panics();
    Ok(Guard { traces, metrics })
}

/// Panics become log lines with the ids of the request at hand instead of text on stderr.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no text");
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(panic = text, place, "panicked");
    }));
}

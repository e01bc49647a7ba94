//! Logs, traces and metrics of a process; usable without the rest of the chassis.

mod json;
mod metrics;
mod trace;

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tracing_subscriber::{
    EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use metrics::{Metrics, meter};
pub use trace::{Kind, continue_trace, entry_span, traceparent};

use crate::config::{self, LogFormat};

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
    tracing_subscriber::registry()
        .with(filter)
        .with(trace::layer(&traces))
        .with(lines)
        .try_init()
        .context("telemetry is set up already")?;
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

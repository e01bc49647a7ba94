//! Metrics by the OpenTelemetry API, read as Prometheus text and, where there is an endpoint, sent by OTLP.

use anyhow::Context as _;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::{MetricExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

/// The metrics of this process.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
}

impl Metrics {
    /// Sets up the process-wide meter.
    pub(super) fn new(resource: Resource, endpoint: Option<&str>) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .context("no Prometheus reader")?;
        let mut builder = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader);
        if let Some(endpoint) = endpoint {
            let exporter = MetricExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()
                .context("OTEL_EXPORTER_OTLP_ENDPOINT: no exporter of metrics")?;
            builder = builder.with_periodic_exporter(exporter);
        }
        let provider = builder.build();
        opentelemetry::global::set_meter_provider(provider.clone());
        observe_process(&provider.meter("process"));
        Ok(Self { registry, provider })
    }

    /// Every metric as Prometheus text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "metrics cannot be written"
            );
        }
        text
    }

    pub(super) fn shutdown(&self) {
        // Exporters log their own failures.
        let _ = self.provider.shutdown();
    }
}

/// The meter that makes this process's instruments. Make each instrument once and keep it: an instrument made before
/// [`super::init`] records nothing.
pub fn meter() -> Meter {
    opentelemetry::global::meter("caravan")
}

/// Memory and start time of the process, under the names that Prometheus' own clients use.
fn observe_process(meter: &Meter) {
    meter
        .u64_observable_gauge("process_resident_memory")
        .with_unit("By")
        .with_description("Resident memory of the process")
        .with_callback(|gauge| {
            if let Some(bytes) = resident_bytes() {
                gauge.observe(bytes, &[]);
            }
        })
        .build();
    let start = time::OffsetDateTime::now_utc().unix_timestamp();
    meter
        .i64_observable_gauge("process_start_time")
        .with_unit("s")
        .with_description("When the process started, seconds since 1970")
        .with_callback(move |gauge| gauge.observe(start, &[]))
        .build();
}

/// `None` where the system has no /proc.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_reads_what_was_counted() {
        let metrics = Metrics::new(Resource::builder_empty().build(), None).unwrap();
        metrics
            .provider
            .meter("test")
            .u64_counter("caravan_things")
            .build()
            .add(3, &[opentelemetry::KeyValue::new("kind", "small")]);
        let text = metrics.render();
        assert!(
            text.contains("caravan_things_total{kind=\"small\"} 3"),
            "{text}"
        );
        let memory = text
            .lines()
            .find(|line| line.starts_with("process_resident_memory_bytes "))
            .expect("memory");
        assert!(
            memory.split(' ').nth(1).unwrap().parse::<f64>().unwrap() > 1e6,
            "{memory}"
        );
    }
}

//! Log lines in the shape of the mesh's services: timestamp, level, service, target, message, then fields.

use std::{fmt, io::IsTerminal};

use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, fmt as text, fmt::MakeWriter, layer::Context, layer::SubscriberExt,
    registry::LookupSpan, util::SubscriberInitExt,
};

use crate::config::LogFormat;

const SERVICE: &str = "payment-sandbox";

/// Starts logging to stdout; `RUST_LOG` filters, `info` where it is unset. A second call changes nothing.
pub fn init(format: Option<LogFormat>) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stdout().is_terminal();
    let json = format.map_or(!terminal, |format| format == LogFormat::Json);
    let lines = tracing_subscriber::registry().with(filter);
    // Fails only where a subscriber stands already.
    let _ = if json {
        lines.with(JsonLines(std::io::stdout)).try_init()
    } else {
        lines.with(text::layer().with_ansi(terminal)).try_init()
    };
}

/// Writes each event as one JSON object.
struct JsonLines<W>(W);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        use std::io::Write;
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let now = OffsetDateTime::now_utc().format(&Rfc3339);
        let mut line = json!({
            "timestamp": now.unwrap_or_default(),
            "level": event.metadata().level().as_str(),
            "service": SERVICE,
            "target": event.metadata().target(),
        });
        if let Some(line) = line.as_object_mut() {
            line.append(&mut fields.0);
        }
        // A log that cannot be written has nowhere to say so.
        let _ = writeln!(self.0.make_writer(), "{line}");
    }
}

struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
}

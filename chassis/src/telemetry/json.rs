//! One flat JSON object a line, the way the mesh's logs are read by machines.

use std::{
    fmt,
    io::Write as _,
    sync::{Arc, OnceLock},
};

use opentelemetry::trace::{TraceContextExt as _, TraceId};
use serde::Serialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use tracing::{
    Dispatch, Event, Subscriber,
    dispatcher::WeakDispatch,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    fmt::MakeWriter,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

use crate::context;

/// Keys that the line itself has; an event's field of the same name gets a prefix.
const OWN_KEYS: [&str; 7] = [
    "timestamp",
    "level",
    "service",
    "target",
    "message",
    "trace_id",
    "request_id",
];

/// RFC 3339 in UTC with all digits, so that lines of many services sort by their text.
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Writes each event as a line with the ids of the request and the trace that it belongs to.
pub(super) struct JsonLines<W> {
    service: String,
    writer: W,
    /// The subscriber that this layer is part of; it knows the traces.
    dispatch: OnceLock<WeakDispatch>,
}

impl<W> JsonLines<W> {
    pub(super) fn new(service: &str, writer: W) -> Self {
        Self {
            service: service.to_owned(),
            writer,
            dispatch: OnceLock::new(),
        }
    }

    /// The trace of a span. Asked once for each span that logs, then kept beside it.
    fn trace_id<S>(&self, span: &SpanRef<'_, S>) -> Option<Arc<str>>
    where
        S: for<'a> LookupSpan<'a>,
    {
        if let Some(known) = span.extensions().get::<LoggedTrace>() {
            return known.0.clone();
        }
        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = tracing_opentelemetry::get_otel_context(&span.id(), &dispatch)?;
        let trace_id = context.span().span_context().trace_id();
        let id = (trace_id != TraceId::INVALID).then(|| trace_id.to_string().into());
        span.extensions_mut().replace(LoggedTrace(id.clone()));
        id
    }
}

/// The trace id that the lines of a span carry.
struct LoggedTrace(Option<Arc<str>>);

/// The request id that a span and everything within it log, where no context says.
#[derive(Clone, Default)]
struct LoggedRequest(Option<Arc<str>>);

impl Visit for LoggedRequest {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "request_id" {
            self.0 = Some(value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "request_id" {
            self.0 = Some(format!("{value:?}").into());
        }
    }
}

impl<S, W> tracing_subscriber::Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // A layer belongs to one subscriber.
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut request = span
            .parent()
            .and_then(|parent| parent.extensions().get::<LoggedRequest>().cloned())
            .unwrap_or_default();
        attributes.record(&mut request);
        span.extensions_mut().insert(request);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let span = context.event_span(event);
        let trace_id = span.as_ref().and_then(|span| self.trace_id(span));
        let request_id = span
            .and_then(|span| {
                span.extensions()
                    .get::<LoggedRequest>()
                    .and_then(|request| request.0.clone())
            })
            .or_else(|| context::current().map(|context| context.request_id));
        let mut line = Line::default();
        event.record(&mut line);
        let target = line.target.take();
        // Where no span says whose line it is, the event may.
        let trace_id = trace_id.or_else(|| line.take("trace_id"));
        let request_id = request_id.or_else(|| line.take("request_id"));
        let metadata = event.metadata();
        let now = OffsetDateTime::now_utc()
            .format(TIMESTAMP)
            .unwrap_or_default();

        let mut text = Vec::with_capacity(512);
        push(&mut text, "timestamp", &*now);
        push(&mut text, "level", metadata.level().as_str());
        push(&mut text, "service", &*self.service);
        let target = target.as_deref().unwrap_or_else(|| metadata.target());
        push(&mut text, "target", target);
        push(&mut text, "message", &*line.message);
        if let Some(id) = trace_id {
            push(&mut text, "trace_id", &*id);
        }
        if let Some(id) = request_id {
            push(&mut text, "request_id", &*id);
        }
        for (name, value) in &line.fields {
            if OWN_KEYS.contains(name) {
                push(&mut text, &format!("field_{name}"), value);
            } else {
                push(&mut text, name, value);
            }
        }
        text.extend_from_slice(b"}\n");
        // A closed stdout must not stop the service.
        let _ = self.writer.make_writer_for(metadata).write_all(&text);
    }
}

/// Adds a member, after `{` or `,`.
fn push(text: &mut Vec<u8>, name: &str, value: &(impl Serialize + ?Sized)) {
    text.push(if text.is_empty() { b'{' } else { b',' });
    // Neither texts nor values fail to be written to memory.
    let _ = serde_json::to_writer(&mut *text, name);
    text.push(b':');
    let _ = serde_json::to_writer(text, value);
}

/// An event's fields.
#[derive(Default)]
struct Line {
    message: String,
    target: Option<String>,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// Takes a text out of the fields.
    fn take(&mut self, name: &str) -> Option<Arc<str>> {
        let place = self.fields.iter().position(|(field, _)| *field == name)?;
        match self.fields.remove(place).1 {
            Value::String(text) => Some(text.into()),
            other => Some(other.to_string().into()),
        }
    }

    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", other) => self.message = other.to_string(),
            // What the bridge from the `log` crate adds.
            ("log.target", Value::String(target)) => self.target = Some(target),
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, error: &(dyn std::error::Error + 'static)) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors repeat their cause in their own text.
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        self.set(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use time::format_description::well_known::Rfc3339;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::trace;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(f: impl FnOnce()) -> Vec<Value> {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = JsonLines::new("ordering", move || writer.clone());
        let traces = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry()
            .with(trace::layer(&traces))
            .with(lines);
        tracing::subscriber::with_default(subscriber, f);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_flat_and_typed() {
        let error = io::Error::other("disk \"full\"");
        let lines = lines(|| {
            tracing::info!(
                n = 3,
                yes = true,
                level = "mine",
                error = &error as &dyn std::error::Error,
                "hello\nyou"
            );
        });
        let line = &lines[0];
        assert_eq!(line["message"], "hello\nyou");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["service"], "ordering");
        assert_eq!(line["n"], 3);
        assert_eq!(line["yes"], true);
        assert_eq!(line["field_level"], "mine");
        assert_eq!(line["error"], "disk \"full\"");
        assert!(OffsetDateTime::parse(line["timestamp"].as_str().unwrap(), &Rfc3339).is_ok());
        assert!(line.get("request_id").is_none());
    }

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn ids_reach_every_line_of_a_request() {
        let lines = lines(|| {
            let span = trace::entry_span(trace::Kind::Server, "a.B/C", "r-1", Some(PARENT));
            span.in_scope(|| tracing::info_span!("inner").in_scope(|| tracing::warn!("deep")));
            tracing::info!(parent: &span, "named");

            let span = tracing::info_span!("event");
            trace::continue_trace(&span, Some(PARENT));
            let request = context::Context::new(Some("r-1"));
            context::sync_scope(request, || span.in_scope(|| tracing::info!("in a context")));

            let trace_id = PARENT.split('-').nth(1);
            tracing::info!(request_id = "r-1", trace_id, "by itself");
        });
        assert_eq!(lines.len(), 4);
        for line in &lines {
            assert_eq!(line["request_id"], "r-1", "{line}");
            assert_eq!(
                line["trace_id"], "0af7651916cd43dd8448eb211c80319c",
                "{line}"
            );
        }
    }
}

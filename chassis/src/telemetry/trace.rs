//! W3C trace contexts: taken over from callers and events, given on to both.

use anyhow::Context as _;
use opentelemetry::{
    Context,
    trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, registry::LookupSpan};

/// What kind of work a trace enters the process with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A call that this process answers.
    Server,
    /// An event that this process handles.
    Consumer,
    /// Work of its own.
    Internal,
}

/// A provider that always gives ids, and exports only where there is an endpoint.
pub(super) fn provider(
    resource: Resource,
    endpoint: Option<&str>,
) -> anyhow::Result<SdkTracerProvider> {
    let mut builder = SdkTracerProvider::builder().with_resource(resource);
    if let Some(endpoint) = endpoint {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .context("OTEL_EXPORTER_OTLP_ENDPOINT: no exporter of traces")?;
        builder = builder.with_batch_exporter(exporter);
    }
    Ok(builder.build())
}

/// Gives every span its place in a trace.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("chassis"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false)
}

/// The span in which a request or an event enters this process. Every log line within it has its ids;
/// a malformed traceparent starts a new trace.
pub fn entry_span(kind: Kind, name: &str, request_id: &str, traceparent: Option<&str>) -> Span {
    let kind = match kind {
        Kind::Server => "server",
        Kind::Consumer => "consumer",
        Kind::Internal => "internal",
    };
    // At the highest level, so that no filter of log lines cuts traces.
    let span = tracing::error_span!(
        parent: None,
        "entry",
        otel.name = name,
        otel.kind = kind,
        request_id,
    );
    continue_trace(&span, traceparent);
    span
}

/// Makes a span that was not entered yet part of the trace that a W3C `traceparent` names. Without a well-formed one it
/// stays where it is.
pub fn continue_trace(span: &Span, traceparent: Option<&str>) {
    if let Some(remote) = traceparent.and_then(parse) {
        // Fails only where telemetry was not set up (tests).
        let _ = span.set_parent(Context::new().with_remote_span_context(remote));
    }
}

/// The W3C `traceparent` of the current span, for calls and events; `None` outside of any trace.
pub fn traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            span.trace_id(),
            span.span_id(),
            span.trace_flags().to_u8()
        )
    })
}

/// Reads `00-<32 hex>-<16 hex>-<2 hex>`; later versions may carry more at the end.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.trim().split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = (version.len(), trace.len(), span.len(), flags.len());
    let hex = [version, trace, span, flags].iter().all(|part| {
        part.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    if lengths != (2, 32, 16, 2)
        || !hex
        || version == "ff"
        || (version == "00" && parts.next().is_some())
    {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_goes_on_with_a_new_span() {
        let provider = SdkTracerProvider::builder().build();
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(layer(&provider)),
            || {
                assert_eq!(traceparent(), None);
                let span = entry_span(Kind::Server, "/a.B/C", "r-1", Some(PARENT));
                let own = span.in_scope(traceparent).unwrap();
                assert!(
                    own.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
                    "{own}"
                );
                assert!(own.ends_with("-01") && own != PARENT, "{own}");

                let fresh = entry_span(Kind::Server, "/a.B/C", "r-1", Some("rubbish"))
                    .in_scope(traceparent)
                    .unwrap();
                assert!(
                    !fresh.contains("0af7651916cd43dd8448eb211c80319c"),
                    "{fresh}"
                );
            },
        );
    }

    #[test]
    fn only_well_formed_parents_are_taken() {
        assert!(parse(PARENT).is_some());
        assert!(parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").is_some());
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_go_to_the_collector() {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
        let url = crate::testing::grpc_double(move |request| {
            let _ = sender.try_send(request.uri().path().to_owned());
            Ok(Vec::new())
        })
        .await;
        let provider = provider(Resource::builder_empty().build(), Some(&url)).unwrap();
        tracing::subscriber::with_default(
            tracing_subscriber::registry().with(layer(&provider)),
            || {
                drop(entry_span(Kind::Server, "a.B/C", "r-1", None).entered());
            },
        );
        tokio::task::spawn_blocking(move || provider.force_flush())
            .await
            .unwrap()
            .unwrap();
        let path = receiver.recv().await.unwrap();
        assert_eq!(
            path,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        );
    }
}

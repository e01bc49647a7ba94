//! What a request is called: its id, and its place in a trace.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chassis::telemetry;
use http::{HeaderMap, HeaderValue};
use tracing::Span;

use crate::headers;

/// Longest request id that is taken over from a client, in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Ids of one request, as headers: they go to the upstream, and the first one back to the client.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) request_id: HeaderValue,
    pub(crate) traceparent: Option<HeaderValue>,
    /// Only where somebody collects spans: making one costs as much as a good part of the request.
    pub(crate) span: Option<Span>,
}

impl Trace {
    /// The ids that the client sent, or new ones. `route` names the span, where there is to be one.
    pub(crate) fn begin(headers: &HeaderMap, route: &str, is_collected: bool) -> Self {
        let [id, incoming] =
            headers::first_of(headers, &[headers::REQUEST_ID, headers::TRACEPARENT]);
        let given = id.filter(|id| is_sane(id.as_bytes()));
        let request_id = given.cloned().unwrap_or_else(new_request_id);
        if !is_collected {
            // Without a span of our own the services' spans hang on the client's, or are the first of a trace.
            let traceparent = incoming.cloned().unwrap_or_else(new_traceparent);
            return Self {
                request_id,
                traceparent: Some(traceparent),
                span: None,
            };
        }
        let id = request_id.to_str().unwrap_or_default();
        let parent = incoming.and_then(|parent| parent.to_str().ok());
        let span = telemetry::entry_span(telemetry::Kind::Server, route, id, parent);
        let traceparent = span.in_scope(telemetry::traceparent);
        let traceparent = traceparent.and_then(|parent| HeaderValue::try_from(parent).ok());
        Self {
            traceparent: traceparent.or_else(|| incoming.cloned()),
            request_id,
            span: Some(span),
        }
    }

    /// The request's id.
    pub(crate) fn id(&self) -> &str {
        // It was checked when it was taken over.
        self.request_id.to_str().unwrap_or_default()
    }
}

/// Whether a client's id is short and plain enough for logs, headers and rows.
fn is_sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.iter().all(plain)
}

/// A UUIDv7. Ids need to differ, not to be secret: no system call is made for them.
fn new_request_id() -> HeaderValue {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or(Duration::ZERO).as_millis() as u64;
    let random = fastrand::u128(..).to_le_bytes();
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&random[..10]);
    let id = uuid::Builder::from_unix_timestamp_millis(since, &bytes).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    unindexed(id.hyphenated().encode_lower(&mut text).as_bytes())
}

/// The beginning of a trace: `00-<32 hex>-<16 hex>-01`.
fn new_traceparent() -> HeaderValue {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
    // An id of zeros is none.
    let trace = fastrand::u128(1..).to_be_bytes();
    let parent = fastrand::u64(1..).to_be_bytes();
    write_hex(&mut text[3..35], &trace);
    write_hex(&mut text[36..52], &parent);
    unindexed(&text)
}

fn write_hex(text: &mut [u8], bytes: &[u8]) {
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        digits[0] = HEX[usize::from(byte >> 4)];
        digits[1] = HEX[usize::from(byte & 15)];
    }
}

/// A value that never comes again must not displace others from the tables of HTTP/2's header compression.
fn unindexed(text: &[u8]) -> HeaderValue {
    let mut value = HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let name = http::HeaderName::from_static(name);
        let value = HeaderValue::from_str(value).expect("a header");
        HeaderMap::from_iter([(name, value)])
    }

    #[test]
    fn an_odd_request_id_is_replaced() {
        let begin = |id| Trace::begin(&headers("x-request-id", id), "r", false);
        assert_eq!(begin("abc-1.2:3").id(), "abc-1.2:3");
        for odd in ["", "a b", "{}", &"x".repeat(129)] {
            let trace = begin(odd);
            let id: uuid::Uuid = trace.id().parse().expect("a UUID");
            assert_eq!(id.get_version_num(), 7, "{odd}");
        }
    }

    #[test]
    fn a_trace_goes_on_or_begins() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = Trace::begin(&headers("traceparent", parent), "r", false);
        assert_eq!(trace.traceparent.expect("the client's"), parent);
        let fresh = Trace::begin(&HeaderMap::new(), "r", false).traceparent;
        let fresh = fresh.expect("a new one");
        let fresh = fresh.to_str().expect("ASCII");
        assert_eq!(fresh.len(), parent.len());
        assert!(
            fresh.starts_with("00-") && fresh.ends_with("-01"),
            "{fresh}"
        );
        assert!(!fresh.contains("-0000000000000000"), "{fresh}");
    }
}

//! Headers of a request that go on to the upstream, and those that say how long it may take.
//! Only what is listed here goes on: whatever else a client sends, `caravan-*` above all, stays outside.

use std::{cell::RefCell, net::IpAddr, thread::LocalKey, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::trace::Trace;

/// Carries the request id, in and out.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C trace context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Makes repetitions of a call one.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Headers that are given on as they are.
const FORWARDED: [HeaderName; 4] = [
    header::AUTHORIZATION,
    IDEMPOTENCY_KEY,
    TRACESTATE,
    // Only a service knows whether its stream can be resumed.
    HeaderName::from_static("last-event-id"),
];

/// Headers of one connection, which mean nothing on the next.
pub(crate) const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
];
/// Headers of a gRPC client that the gateway writes itself, or that are between browser and gateway.
const NOT_PASSED: [HeaderName; 10] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    header::COOKIE,
    header::ORIGIN,
    header::REFERER,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    HeaderName::from_static("x-grpc-web"),
    REQUEST_TIMEOUT,
];
/// Beginnings of names that only the mesh and proxies in front of it may use.
const RESERVED: [&str; 5] = ["caravan-", "x-forwarded-", "forwarded", "x-real-ip", "sec-"];

/// Time that a call may take where neither client nor contract says.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time that a client may ask for.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);
/// Longest wait by `Prefer: wait=N`.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// What is left for the call itself after such a wait.
const WAIT_ROOM: Duration = Duration::from_secs(10);
/// Digits of a gRPC timeout.
const MAX_TIMEOUT_DIGITS: usize = 8;

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) deadline: Duration,
    /// The wait that the client prefers, capped.
    wait: Option<Duration>,
}

impl Times {
    /// As [`Self::of`], for a stream: it may last long where nobody says how long.
    ///
    /// # Errors
    /// The name of the header that is malformed.
    pub(crate) fn of_stream(
        headers: &HeaderMap,
        contract: Option<Duration>,
    ) -> Result<Self, &'static str> {
        Self::of(headers, contract.or(Some(MAX_TIMEOUT)))
    }

    /// Reads `X-Request-Timeout` or `grpc-timeout`, else takes the contract's deadline or the default.
    /// A preferred wait makes room for itself, but not against what the client says.
    ///
    /// # Errors
    /// The name of the header that is malformed.
    pub(crate) fn of(
        headers: &HeaderMap,
        contract: Option<Duration>,
    ) -> Result<Self, &'static str> {
        let [prefer, own, grpc] = first_of(headers, &[PREFER, REQUEST_TIMEOUT, GRPC_TIMEOUT]);
        let wait = prefer
            .and_then(|prefer| prefer.to_str().ok())
            .and_then(wait)
            .map(|wait| wait.min(MAX_WAIT));
        let asked = if let Some(value) = own {
            let timeout = value.to_str().ok().and_then(seconds);
            Some(timeout.ok_or("X-Request-Timeout")?)
        } else if let Some(value) = grpc {
            let timeout = value.to_str().ok().and_then(grpc_timeout);
            Some(timeout.ok_or("grpc-timeout")?)
        } else {
            None
        };
        let deadline = asked.unwrap_or_else(|| {
            let usual = contract.unwrap_or(DEFAULT_TIMEOUT);
            wait.map_or(usual, |wait| usual.max(wait + WAIT_ROOM))
        });
        Ok(Self {
            deadline: deadline.min(MAX_TIMEOUT),
            wait,
        })
    }
}

/// Adds the metadata of a call for `client`.
pub(crate) fn metadata(
    headers: &HeaderMap,
    (client, trace): (IpAddr, &Trace),
    times: Times,
    metadata: &mut HeaderMap,
) {
    for (name, value) in FORWARDED.into_iter().zip(first_of(headers, &FORWARDED)) {
        if let Some(value) = value {
            metadata.insert(name, value.clone());
        }
    }
    metadata.insert(REQUEST_ID, trace.request_id.clone());
    if let Some(traceparent) = &trace.traceparent {
        metadata.insert(TRACEPARENT, traceparent.clone());
    }
    let text = |text: String| HeaderValue::try_from(text).ok();
    if let Some(wait) = times
        .wait
        .and_then(|wait| text(format!("wait={}", wait.as_secs())))
    {
        metadata.insert(PREFER, wait);
    }
    if let Some(client) = memo(&CLIENT, client, |client| client.to_string()) {
        metadata.insert(FORWARDED_FOR, client);
    }
    if let Some(timeout) = memo(&TIMEOUT, times.deadline, format_timeout) {
        metadata.insert(GRPC_TIMEOUT, timeout);
    }
}

thread_local! {
    static CLIENT: RefCell<Option<(IpAddr, HeaderValue)>> = const { RefCell::new(None) };
    static TIMEOUT: RefCell<Option<(Duration, HeaderValue)>> = const { RefCell::new(None) };
}

/// The header for a value, kept for the next request, which mostly has the same.
fn memo<T: Copy + PartialEq>(
    last: &'static LocalKey<RefCell<Option<(T, HeaderValue)>>>,
    value: T,
    text: impl Fn(T) -> String,
) -> Option<HeaderValue> {
    last.with_borrow_mut(|last| {
        if let Some((known, header)) = last.as_ref()
            && *known == value
        {
            return Some(header.clone());
        }
        let header = HeaderValue::try_from(text(value)).ok()?;
        *last = Some((value, header.clone()));
        Some(header)
    })
}

/// What a gRPC client says beside its messages, without what is the connection's, the mesh's or the gateway's to say.
pub(crate) fn passed(headers: &HeaderMap) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(headers.len() + 8);
    let kept = headers.iter().filter(|(name, _)| {
        !HOP_BY_HOP.contains(name)
            && !NOT_PASSED.contains(name)
            && !RESERVED
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix))
    });
    for (name, value) in kept {
        passed.append(name, value.clone());
    }
    passed
}

/// The first value of each of these names, in one pass: requests have few headers, and mostly none of these.
pub(crate) fn first_of<'h, const N: usize>(
    headers: &'h HeaderMap,
    names: &[HeaderName; N],
) -> [Option<&'h HeaderValue>; N] {
    let mut found = [None; N];
    for (name, value) in headers {
        if let Some(index) = names.iter().position(|wanted| wanted == name) {
            found[index].get_or_insert(value);
        }
    }
    found
}

pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// `wait` of a Prefer header (RFC 7240); malformed preferences are ignored, as it says.
fn wait(prefer: &str) -> Option<Duration> {
    let preferences = prefer.split([',', ';']).map(str::trim);
    let mut waits = preferences.filter_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse::<u32>().ok()?;
        name.trim()
            .eq_ignore_ascii_case("wait")
            .then(|| Duration::from_secs(seconds.into()))
    });
    waits.next()
}

/// Seconds, with decimals or a unit: `5`, `0.5`, `500ms`, `2s`.
fn seconds(text: &str) -> Option<Duration> {
    let (number, per_second) = match text.trim() {
        text if text.ends_with("ms") => (&text[..text.len() - 2], 1_000.0),
        text => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    if number.is_empty()
        || !number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    let seconds = number.parse::<f64>().ok()? / per_second;
    let timeout = Duration::try_from_secs_f64(seconds).ok()?;
    (!timeout.is_zero()).then_some(timeout)
}

/// At most 8 digits and a unit: `100m` is 100 milliseconds.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > MAX_TIMEOUT_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

fn format_timeout(timeout: Duration) -> String {
    // MAX_TIMEOUT is 7 digits of milliseconds.
    format!("{}m", timeout.as_millis().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(pairs: &[(&'static str, &str)]) -> Result<Times, &'static str> {
        let headers = pairs.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a header");
            (HeaderName::from_static(name), value)
        });
        Times::of(&headers.collect(), Some(Duration::from_secs(5)))
    }

    #[test]
    fn clients_say_how_long_else_the_contract() {
        for (pairs, milliseconds) in [
            (&[][..], 5_000),
            (&[("x-request-timeout", "2")], 2_000),
            (&[("x-request-timeout", "0.25")], 250),
            (&[("x-request-timeout", "40ms")], 40),
            (&[("x-request-timeout", "999999s")], 3_600_000),
            (&[("grpc-timeout", "1500m")], 1_500),
            (&[("grpc-timeout", "2S"), ("x-request-timeout", "1")], 1_000),
            (&[("prefer", "wait=20")], 30_000),
            (&[("prefer", "respond-async, wait=1")], 11_000),
            (&[("prefer", "wait=1000000")], 70_000),
            (&[("prefer", "wait=20"), ("x-request-timeout", "3")], 3_000),
            (&[("prefer", "wait=soon")], 5_000),
        ] {
            let found = times(pairs).expect("well-formed").deadline;
            assert_eq!(found, Duration::from_millis(milliseconds), "{pairs:?}");
        }
        for pair in [
            ("x-request-timeout", "soon"),
            ("x-request-timeout", "0"),
            ("x-request-timeout", "-1"),
            ("x-request-timeout", "1e3"),
            ("grpc-timeout", "123456789m"),
            ("grpc-timeout", "m"),
            ("grpc-timeout", "5"),
        ] {
            assert!(times(&[pair]).is_err(), "{pair:?}");
        }
    }

    #[test]
    fn only_what_is_listed_goes_on() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "idempotency-key",
            "caravan-saga-id",
            "cookie",
            "x-forwarded-for",
            "te",
            "grpc-encoding",
            "host",
            "x-internal",
            "prefer",
        ] {
            headers.insert(name, HeaderValue::from_static("wait=99"));
        }
        let times = Times::of(&headers, None).expect("well-formed");
        let client = "10.0.0.7".parse().expect("an address");
        let trace = Trace::begin(&headers, "r", false);
        let mut metadata = HeaderMap::new();
        super::metadata(&headers, (client, &trace), times, &mut metadata);
        let mut names: Vec<_> = metadata.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "authorization",
                "grpc-timeout",
                "idempotency-key",
                "prefer",
                "traceparent",
                "x-forwarded-for",
                "x-request-id",
            ]
        );
        assert_eq!(metadata["prefer"], "wait=60");
        assert_eq!(metadata["x-forwarded-for"], "10.0.0.7");
        assert_eq!(metadata["grpc-timeout"], "70000m");
    }
}

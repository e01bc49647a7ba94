//! The body of a request: received whole, within its limits.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::problem::Problem;

/// Receives a body of at most `max_bytes`.
///
/// # Errors
/// It is larger, breaks off or takes longer than `longest`.
pub(crate) async fn receive(
    body: Incoming,
    max_bytes: usize,
    longest: Duration,
) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || {
        let detail = format!("the body is larger than {max_bytes} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
    };
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    match timeout(longest, Limited::new(body, max_bytes).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(incomplete()),
        Err(_) => Err(too_slow()),
    }
}

/// The client went away in the middle.
pub(crate) fn incomplete() -> Problem {
    let detail = "the body broke off";
    Problem::new(StatusCode::BAD_REQUEST, "BODY_INCOMPLETE", detail)
}

/// The client takes too long to send it.
pub(crate) fn too_slow() -> Problem {
    let detail = "the body did not come in time";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", detail)
}

/// `application/json` or `+json`, in UTF-8.
pub(crate) fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    utf8 && (media == "application/json"
        || (media.starts_with("application/") && media.ends_with("+json")))
}

/// `application/x-ndjson` and its other names.
pub(crate) fn is_lines(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
    ]
    .iter()
    .any(|known| media.eq_ignore_ascii_case(known))
}

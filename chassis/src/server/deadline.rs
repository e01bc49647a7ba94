//! Holds a call to its deadline: the caller's `grpc-timeout`, else the contract's.

use std::time::Duration;

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::HeaderMap;
use tokio::time::{Instant, timeout_at};

use super::answer;
use crate::{
    body::{Guarded, deadline_exceeded},
    context, methods,
};

/// The header that says how long a caller waits.
pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Taken off a caller's timeout, so that our answer is on its way before tonic cuts the call off with CANCELLED.
const MARGIN: Duration = Duration::from_millis(5);

/// The layer: answers DEADLINE_EXCEEDED in time, and gives the deadline on to the calls that the handler makes.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    let asked = read(request.headers());
    let allowed = asked
        .map(|timeout| timeout.saturating_sub(MARGIN.min(timeout / 2)))
        .or_else(|| methods::get(request.uri().path())?.default_deadline());
    let (Some(deadline), Some(mut context)) = (
        allowed.and_then(|allowed| Instant::now().checked_add(allowed)),
        context::current(),
    ) else {
        return next.run(request).await;
    };
    context.deadline = Some(deadline);
    match timeout_at(deadline, context::scope(context, next.run(request))).await {
        Ok(response) => response.map(|body| {
            Body::new(
                Guarded::answer(tonic::body::Body::new(body))
                    .until(Some(deadline))
                    .boxed(),
            )
        }),
        Err(_) => answer(&deadline_exceeded()),
    }
}

/// Reads `<up to 8 digits><H|M|S|m|u|n>`.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Writes a timeout with the finest unit that fits in 8 digits.
pub(crate) fn write(timeout: Duration, headers: &mut HeaderMap) {
    const MAX: u128 = 99_999_999;
    let text = if timeout.as_micros() <= MAX {
        format!("{}u", timeout.as_micros())
    } else if timeout.as_millis() <= MAX {
        format!("{}m", timeout.as_millis())
    } else {
        format!("{}S", timeout.as_secs().min(99_999_999))
    };
    if let Ok(value) = text.parse() {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// How long the caller of a request waits, where it says.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    parse(headers.get(GRPC_TIMEOUT)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn};
    use tonic::Code;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{body, context::Context};

    /// What the layer answers for a handler that never ends, and when.
    async fn never_ending(path: &str, timeout: Option<&str>) -> (Code, Duration) {
        let router = Router::new()
            .fallback(std::future::pending::<()>)
            .layer(from_fn(layer));
        let mut request = Request::post(path).body(Body::empty()).unwrap();
        if let Some(timeout) = timeout {
            request
                .headers_mut()
                .insert(GRPC_TIMEOUT, timeout.parse().unwrap());
        }
        let start = Instant::now();
        let response = context::scope(Context::new(None), router.oneshot(request))
            .await
            .unwrap();
        (body::code(response.headers()), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_comes_before_the_caller_gives_up() {
        let (code, after) = never_ending("/any", Some("2S")).await;
        assert_eq!(code, Code::DeadlineExceeded);
        assert!((1990..2000).contains(&after.as_millis()), "{after:?}");
        let (code, after) =
            never_ending("/caravan.identity.v1.IdentityService/GetKeySet", None).await;
        assert_eq!((code, after.as_secs()), (Code::DeadlineExceeded, 30));
    }

    #[test]
    fn timeouts_are_read_and_written() {
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            parse("99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for bad in ["", "S", "5", "5s", "-5S", "123456789S", "5 S", "é"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        for timeout in [
            Duration::from_micros(1),
            Duration::from_millis(4_999),
            Duration::from_secs(100_000),
        ] {
            write(timeout, &mut headers);
            assert_eq!(read(&headers), Some(timeout));
        }
    }
}

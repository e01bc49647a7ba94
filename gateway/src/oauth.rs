//! Endpoints of OAuth 2.0 (option `rest.oauth`): how clients of RFC 6749 send requests, and what they understand as an answer.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{
    answer::{Answer, json as answer},
    problem::Problem,
};

const FORM: &str = "application/x-www-form-urlencoded";
/// What may be wrong with a request (RFC 6749, section 5.2; RFC 7009, section 2.2.1).
const ERRORS: [&str; 7] = [
    "invalid_request",
    INVALID_CLIENT,
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "unsupported_token_type",
];
const INVALID_CLIENT: &str = "invalid_client";

/// The parameters of a form, as a query would have them; those without a value count as left out.
///
/// # Errors
/// The body is no form, or there are parameters in the URL, where logs would keep them.
pub(crate) fn form(
    query: &str,
    content_type: Option<&str>,
    body: &Bytes,
) -> Result<String, Problem> {
    let invalid = |detail: &str| {
        Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "INVALID_REQUEST",
            detail,
        ))
    };
    if !query.is_empty() {
        return invalid("parameters belong into the body, not into the URL");
    }
    let media = content_type.unwrap_or_default().split(';').next();
    if !media.is_some_and(|media| media.trim().eq_ignore_ascii_case(FORM)) {
        return invalid("the body must be application/x-www-form-urlencoded");
    }
    let Ok(form) = std::str::from_utf8(body) else {
        return invalid("the body is no form");
    };
    let given = |pair: &&str| {
        pair.split_once('=')
            .is_some_and(|(_, value)| !value.is_empty())
    };
    Ok(form.split('&').filter(given).collect::<Vec<_>>().join("&"))
}

/// A problem as OAuth says it.
pub(crate) fn failure(problem: &Problem) -> Answer {
    let status = problem.status();
    let reason = problem.reason().to_ascii_lowercase();
    let (status, error) = match ERRORS.into_iter().find(|error| *error == reason) {
        Some(INVALID_CLIENT) => (StatusCode::UNAUTHORIZED, INVALID_CLIENT),
        Some(error) => (StatusCode::BAD_REQUEST, error),
        None => match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => (status, "temporarily_unavailable"),
            _ if status.is_server_error() => (status, "server_error"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request"),
        },
    };
    let body = json!({"error": error, "error_description": printable(problem.detail())});
    let mut answer = answer(status, Bytes::from(body.to_string()));
    if let Some(wait) = problem.response().headers().get(header::RETRY_AFTER) {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, wait.clone());
    }
    answer
}

/// What every answer of such an endpoint says, failures included.
pub(crate) fn finish(answer: &mut Answer) {
    let is_unauthorized = answer.status() == StatusCode::UNAUTHORIZED;
    let headers: &mut HeaderMap = answer.headers_mut();
    let no_store = HeaderValue::from_static("no-store");
    headers.insert(header::CACHE_CONTROL, no_store);
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    if is_unauthorized {
        let challenge = HeaderValue::from_static("Basic realm=\"caravan\"");
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
}

/// `error_description` has printable ASCII without `"` and `\`.
fn printable(text: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='~') && c != '\\';
    let text = text.replace('"', "'");
    text.chars().filter(|c| allowed(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_stands_in_the_body_and_nowhere_else() {
        let body = Bytes::from("grant_type=client_credentials&scope=&client_id=a%26b");
        let form_of = |query: &str, kind: &str| form(query, Some(kind), &body);
        for kind in [FORM, "Application/X-WWW-form-urlencoded; charset=UTF-8"] {
            assert_eq!(
                form_of("", kind).expect("a form"),
                "grant_type=client_credentials&client_id=a%26b"
            );
        }
        for (query, kind) in [("client_id=a", FORM), ("", "application/json")] {
            let problem = form_of(query, kind).expect_err("no form");
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        }
        assert!(form("", None, &Bytes::from_static(b"\xff")).is_err());
    }

    #[test]
    fn a_problem_becomes_an_error_of_oauth() {
        for (status, reason, expected, error) in [
            (401, "INVALID_CLIENT", 401, "invalid_client"),
            (400, "UNSUPPORTED_GRANT_TYPE", 400, "unsupported_grant_type"),
            (403, "UNAUTHORIZED_CLIENT", 400, "unauthorized_client"),
            (415, "UNSUPPORTED_ENCODING", 400, "invalid_request"),
            (429, "RATE_LIMITED", 429, "temporarily_unavailable"),
            (503, "OVERLOADED", 503, "temporarily_unavailable"),
            (500, "PANIC", 500, "server_error"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = failure(&Problem::new(status, reason, "said \"no\"\n"));
            assert_eq!(answer.status(), expected, "{reason}");
            let crate::answer::Body::Whole(body) = answer.body() else {
                panic!("a stream");
            };
            let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            assert_eq!(
                body,
                json!({"error": error, "error_description": "said 'no'"})
            );
        }
    }
}

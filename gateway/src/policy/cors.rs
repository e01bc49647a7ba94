//! Which web pages of other origins may call (CORS).

use std::{str::FromStr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, request::Parts};

use crate::answer::{Answer, Body};

/// What a browser may remember of a preflight where the operator says nothing.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Methods of routes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Request headers that the gateway reads.
const HEADERS: [&str; 12] = [
    "accept",
    "authorization",
    "content-type",
    "grpc-timeout",
    "idempotency-key",
    "if-none-match",
    "last-event-id",
    "prefer",
    "x-grpc-web",
    "x-request-id",
    "x-request-timeout",
    "x-user-agent",
];
/// Answer headers that a page may read, beside those that every page may.
const EXPOSED: [&str; 10] = [
    "etag",
    "grpc-message",
    "grpc-status",
    "grpc-status-details-bin",
    "location",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "www-authenticate",
    "x-request-id",
];

/// Which pages may call and what they may send and see.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Vec<Origin>,
    headers: HeaderValue,
    expose: HeaderValue,
    credentials: bool,
    max_age: HeaderValue,
}

/// An origin that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// `*`
    Any,
    /// `https://shop.example`
    Exact(String),
    /// `https://*.shop.example`
    Below { scheme: String, suffix: String },
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let fault =
            || format!("`{text}` is no origin like https://shop.example or https://*.shop.example");
        let (scheme, host) = text.split_once("://").ok_or_else(fault)?;
        let parsed: Uri = text
            .replacen("*.", "any.", 1)
            .parse()
            .map_err(|_| fault())?;
        let is_bare = parsed.path() == "/" && parsed.query().is_none() && !text.ends_with('/');
        if !is_bare || host.starts_with("any.") || text.to_ascii_lowercase() != text {
            return Err(fault());
        }
        Ok(match host.strip_prefix('*') {
            None if host.contains('*') => return Err(fault()),
            None => Self::Exact(text.to_owned()),
            Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => Self::Below {
                scheme: format!("{scheme}://"),
                suffix: suffix.to_owned(),
            },
            Some(_) => return Err(fault()),
        })
    }
}

impl Origin {
    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == origin,
            Self::Below { scheme, suffix } => origin
                .strip_prefix(scheme.as_str())
                .and_then(|host| host.strip_suffix(suffix.as_str()))
                .is_some_and(|name| !name.is_empty() && !name.contains(['/', '@', ':'])),
        }
    }
}

impl Cors {
    /// Empty lists mean what the gateway itself reads and writes.
    pub(super) fn new(
        origins: Vec<Origin>,
        headers: &[String],
        expose: &[String],
        credentials: bool,
        max_age: Option<Duration>,
    ) -> Result<Self, String> {
        if origins.is_empty() {
            return Err("`origins` is empty: leave `cors` out instead".to_owned());
        }
        if credentials && origins.contains(&Origin::Any) {
            return Err(
                "`credentials` and origin `*` together let every page act for its visitors"
                    .to_owned(),
            );
        }
        let list = |own: &[&str], given: &[String]| {
            let text = if given.is_empty() {
                own.join(", ")
            } else {
                given.join(", ")
            };
            HeaderValue::from_str(&text).map_err(|error| error.to_string())
        };
        Ok(Self {
            origins,
            headers: list(&HEADERS, headers)?,
            expose: list(&EXPOSED, expose)?,
            credentials,
            max_age: max_age.unwrap_or(MAX_AGE).as_secs().into(),
        })
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        self.origins.iter().any(|allowed| allowed.matches(origin))
    }

    /// The answer to a preflight; `None` where the request is none. [`Self::write`] adds who may.
    pub(super) fn preflight(&self, head: &Parts) -> Option<Answer> {
        let is_preflight = head.method == Method::OPTIONS
            && head
                .headers
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = head.headers.get(header::ORIGIN).filter(|_| is_preflight)?;
        let mut answer = Answer::new(Body::default());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        if self.allows(origin) {
            let headers = answer.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        Some(answer)
    }

    /// Headers of every answer to a page.
    pub(super) fn write(&self, request: &HeaderMap, headers: &mut HeaderMap) {
        let is_for_all = self.origins == [Origin::Any];
        if !is_for_all {
            headers.append(
                header::VARY,
                HeaderValue::from_name(HeaderName::from_static("origin")),
            );
        }
        let Some(origin) = request
            .get(header::ORIGIN)
            .filter(|origin| self.allows(origin))
        else {
            return;
        };
        let allowed = match is_for_all {
            true => HeaderValue::from_static("*"),
            false => origin.clone(),
        };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone());
        if self.credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }

    /// Whether a page of this origin may open a WebSocket, which browsers do not ask for beforehand.
    pub(crate) fn admits(&self, request: &HeaderMap) -> bool {
        request
            .get(header::ORIGIN)
            .is_none_or(|origin| self.allows(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_exact_or_below_a_name() {
        let origin = |text: &str| text.parse::<Origin>().expect("an origin");
        for (allowed, found, matches) in [
            ("*", "https://a.example", true),
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example.evil", false),
            ("https://a.example:8443", "https://a.example:8443", true),
            ("https://*.a.example", "https://x.a.example", true),
            ("https://*.a.example", "https://x.y.a.example", true),
            ("https://*.a.example", "https://a.example", false),
            ("https://*.a.example", "https://evil/x.a.example", false),
            ("https://*.a.example", "https://.a.example", false),
        ] {
            assert_eq!(origin(allowed).matches(found), matches, "{allowed} {found}");
        }
        for text in [
            "",
            "a.example",
            "https://a.example/",
            "https://a/b",
            "https://a*.b",
            "https://*a.b",
            "HTTPS://A",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_for_named_origins() {
        let cors = |origin: &str| {
            let origins = vec![origin.parse().expect("an origin")];
            Cors::new(origins, &[], &[], true, None)
        };
        assert!(cors("*").is_err());
        assert!(cors("https://a.example").is_ok());
    }
}

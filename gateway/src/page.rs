//! Documents about the routes themselves.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use crate::{
    answer::{Answer, Body, json},
    exchange::Exchange,
    policy::{Variants, etag, matches},
    router::not_allowed,
};

/// A text that stays the same as long as its contract.
#[derive(Debug)]
pub(crate) struct Document {
    text: Bytes,
    etag: HeaderValue,
    variants: Variants,
}

impl Document {
    pub(crate) fn new(text: Bytes) -> Self {
        Self {
            etag: etag(&text),
            variants: Variants::default(),
            text,
        }
    }
}

/// A document that the gateway makes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The OpenAPI document.
    OpenApi,
    /// The same for people.
    Docs,
}

/// The page's style stands in it; it asks for nothing else.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

impl Page {
    pub(crate) fn at(path: &str) -> Option<Self> {
        [Self::OpenApi, Self::Docs]
            .into_iter()
            .find(|page| page.path() == path)
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenApi => "/openapi.json",
            Self::Docs => "/docs",
        }
    }

    pub(crate) fn answer(self, exchange: &Exchange<'_>) -> Answer {
        if exchange.head.method != Method::GET && exchange.head.method != Method::HEAD {
            return not_allowed(exchange, "GET, HEAD");
        }
        let document = match self {
            Self::OpenApi => exchange.api.openapi(),
            Self::Docs => exchange.api.docs(),
        };
        let mut answer = json(StatusCode::OK, document.text.clone());
        answer.extensions_mut().insert(document.variants.clone());
        let headers = answer.headers_mut();
        if self == Self::Docs {
            headers.insert(header::CONTENT_TYPE, HTML);
            headers.insert(header::CONTENT_SECURITY_POLICY, DOCS_POLICY);
        }
        // Kept by clients, and asked for again with its tag: another contract is another document.
        headers.insert(header::ETAG, document.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let known = exchange.head.headers.get(header::IF_NONE_MATCH);
        if known.is_some_and(|tags| matches(tags, &document.etag)) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            *answer.body_mut() = Body::default();
            answer.headers_mut().remove(header::CONTENT_TYPE);
        }
        exchange.gateway.policies.compress(exchange, &mut answer);
        answer
    }
}

//! Documents about the routes themselves.

use http::{HeaderValue, Method, StatusCode, header};

use crate::{
    answer::{Answer, json},
    exchange::Exchange,
    router::not_allowed,
};

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
        match self {
            Self::OpenApi => json(StatusCode::OK, exchange.api.openapi()),
            Self::Docs => {
                let mut answer = json(StatusCode::OK, exchange.api.docs());
                let headers = answer.headers_mut();
                headers.insert(header::CONTENT_TYPE, HTML);
                headers.insert(header::CONTENT_SECURITY_POLICY, DOCS_POLICY);
                answer
            }
        }
    }
}

//! Documents about the routes themselves.

use http::{Method, StatusCode};

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
}

impl Page {
    pub(crate) fn at(path: &str) -> Option<Self> {
        (path == Self::OpenApi.path()).then_some(Self::OpenApi)
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::OpenApi => "/openapi.json",
        }
    }

    pub(crate) fn answer(self, exchange: &Exchange<'_>) -> Answer {
        if exchange.head.method != Method::GET && exchange.head.method != Method::HEAD {
            return not_allowed(exchange, "GET, HEAD");
        }
        match self {
            Self::OpenApi => json(StatusCode::OK, exchange.api.openapi()),
        }
    }
}

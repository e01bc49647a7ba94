//! What a request is for, by its method and path.

use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use transcode::{Found, RouteError};

use crate::{answer::Answer, api::Api, exchange::Exchange, openapi::Page, problem::Problem};

/// What a request is for.
pub(crate) enum Target<'a, 'p> {
    /// An rpc, by one of its routes.
    Rest(Found<'a, 'p>),
    /// A document about the routes.
    Page(Page),
    /// Nothing.
    None(RouteError),
}

impl<'a> Target<'a, '_> {
    /// For metrics and traces: a template or a fixed word, never a client's path, since each label is kept for good.
    pub(crate) fn label(&self) -> &'a str {
        match self {
            Self::Rest(found) => found.binding().template(),
            Self::Page(page) => page.path(),
            Self::None(_) => "unmatched",
        }
    }
}

/// The contract's own routes come first: a page gives way to a route of the same path.
pub(crate) fn find<'a, 'p>(api: &'a Api, head: &'p Parts) -> Target<'a, 'p> {
    match api.rest().find(head.method.as_str(), head.uri.path()) {
        Ok(found) => Target::Rest(found),
        Err(error) => match Page::at(head.uri.path()) {
            Some(page) => Target::Page(page),
            None => Target::None(error),
        },
    }
}

/// The answer where there is nothing at the path, or not with this method.
pub(crate) fn no_route(exchange: &Exchange<'_>, error: RouteError) -> Result<Answer, Problem> {
    match error {
        RouteError::NotFound => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "ROUTE_NOT_FOUND",
            "there is nothing at this path",
        )),
        RouteError::MethodNotAllowed { allow } => Ok(not_allowed(exchange, &allow.join(", "))),
    }
}

/// 405 with the methods that the path takes.
pub(crate) fn not_allowed(exchange: &Exchange<'_>, allow: &str) -> Answer {
    let detail = format!("this path takes {allow}");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail);
    let mut response = problem.for_request(exchange.request_id).response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response.map(Into::into)
}

/// Methods are labels of metrics, which are kept for good: no client chooses new ones.
pub(crate) fn known_verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

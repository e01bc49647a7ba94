//! What a request is for, by its method and path.

use http::{HeaderValue, StatusCode, header, request::Parts};
use transcode::{Found, RouteError};

use crate::{
    answer::Answer,
    api::{Api, Method},
    exchange::Exchange,
    page::Page,
    passthrough::{self, Protocol},
    plain::Prefix,
    policy::Policies,
    problem::Problem,
    socket,
};

/// What a request is for.
pub(crate) enum Target<'a, 'p> {
    /// An rpc, by one of its routes.
    Rest(Found<'a, 'p>),
    /// A stream, by one of its routes and over a WebSocket.
    Socket(Found<'a, 'p>),
    /// An rpc, by its own path.
    Rpc(&'a Method, Protocol),
    /// No rpc, though it was called like one.
    NoRpc(Protocol),
    /// What an old system serves.
    Prefix(&'a Prefix),
    /// A document about the routes.
    Page(Page),
    /// Nothing.
    None(RouteError),
}

impl<'a> Target<'a, '_> {
    /// How a failure is said; `None` for a problem.
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Rpc(_, protocol) | Self::NoRpc(protocol) => Some(*protocol),
            Self::Rest(_) | Self::Socket(_) | Self::Prefix(_) | Self::Page(_) | Self::None(_) => {
                None
            }
        }
    }

    /// Whether it is an endpoint of OAuth 2.0.
    pub(crate) fn is_oauth(&self, api: &Api) -> bool {
        matches!(self, Self::Rest(found) if api.method_of(found.binding()).policy.rest.oauth)
    }

    /// For metrics and traces: a template or a fixed word, never a client's path, since each label is kept for good.
    pub(crate) fn label(&self) -> &'a str {
        match self {
            Self::Rest(found) | Self::Socket(found) => found.binding().template(),
            Self::Rpc(method, _) => method.path.as_str(),
            Self::NoRpc(_) => "unmatched",
            Self::Prefix(prefix) => &prefix.label,
            Self::Page(page) => page.path(),
            Self::None(_) => "unmatched",
        }
    }
}

/// The contract's own routes come first, then what an old system serves below a prefix. A page gives way to both, but not to the
/// prefix of everything.
pub(crate) fn find<'a, 'p>(
    api: &'a Api,
    policies: &'a Policies,
    head: &'p Parts,
) -> Target<'a, 'p> {
    let path = head.uri.path();
    let prefix = || policies.prefixes().find(path);
    if let Some(protocol) = passthrough::protocol(head) {
        return match api.method_at(path) {
            Some(method) => Target::Rpc(method, protocol),
            None => prefix().map_or(Target::NoRpc(protocol), Target::Prefix),
        };
    }
    if let Some(found) = socket::find(api, head) {
        return Target::Socket(found);
    }
    match api.rest().find(head.method.as_str(), path) {
        Ok(found) => Target::Rest(found),
        Err(error) => match (prefix(), Page::at(path)) {
            (Some(prefix), page) if page.is_none() || !prefix.is_all() => Target::Prefix(prefix),
            (_, Some(page)) => Target::Page(page),
            _ => Target::None(error),
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
pub(crate) fn known_verb(method: &http::Method) -> &'static str {
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

/// The answer to a call of an rpc that the contract does not have.
pub(crate) fn no_rpc() -> Problem {
    Problem::new(
        StatusCode::NOT_IMPLEMENTED,
        "RPC_NOT_FOUND",
        "the contract has no such rpc",
    )
}

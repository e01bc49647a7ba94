//! A request below a prefix: to the old system and back.

use http::{Method, Response, StatusCode};
use hyper::body::Incoming;

use super::{Prefix, Sent, body::Passed, headers, upgrade};
use crate::{
    answer::{Answer, Body},
    exchange::Exchange,
    gateway::Place,
    headers::Times,
    problem::Problem,
    upstream::{Kept, NoAnswer, Use},
};

/// The answer of the system behind a prefix, as it comes.
pub(crate) async fn answer(
    exchange: Exchange<'_>,
    prefix: &Prefix,
    body: Incoming,
    place: Place,
) -> Result<Answer, Problem> {
    let head = exchange.head;
    if let Some(handshake) = upgrade::handshake(head)? {
        return upgrade::answer(exchange, prefix, (handshake, body), place).await;
    }
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        let detail = "this method does not go further";
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "METHOD_NOT_PASSED",
            detail,
        ));
    }
    let of = match head.method.is_idempotent() {
        true => Use::Repeatable,
        false => Use::Once,
    };
    let response = send(&exchange, prefix, body, of).await?;
    Ok(passed(&exchange, response, place))
}

/// An answer that has begun, and its connection, where that may be used again.
pub(super) type Arrived = (Response<Incoming>, Option<Kept>);

/// Sends a request and waits for the beginning of its answer.
pub(super) async fn send(
    exchange: &Exchange<'_>,
    prefix: &Prefix,
    body: Incoming,
    of: Use,
) -> Result<Arrived, Problem> {
    let limits = exchange.gateway.policies.limits();
    let times = Times::of(&exchange.head.headers, Some(prefix.deadline));
    let deadline = times.map_err(Problem::malformed_header)?.deadline;
    let most = prefix.rules.max_body_bytes;
    let (body, progress) = Sent::new(body, most, limits.body_timeout)?;
    let site = &prefix.site;
    let is_upgrade = of == Use::Upgrade;
    let head = |origin: &_| {
        let mut request = headers::request(exchange, prefix, origin, site.is_http2());
        if is_upgrade {
            upgrade::ask(exchange.head, &mut request);
        }
        request
    };
    let outcome = tokio::select! {
        outcome = site.send(head, body, of) => outcome,
        () = progress.stands_still(deadline) => return Err(late()),
    };
    outcome.map_err(|failure| progress.fault().unwrap_or_else(|| failed(&failure)))
}

/// An answer on its way to the client.
pub(super) fn passed(exchange: &Exchange<'_>, (response, kept): Arrived, place: Place) -> Answer {
    let (head, body) = response.into_parts();
    let is_cors = exchange.gateway.policies.has_cors();
    let mut answer = Response::new(Body::flow(Passed::new(body, kept, place)));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers::answer(&head.headers, is_cors);
    answer
}

fn late() -> Problem {
    let detail = "the system behind this path did not answer in time";
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", detail)
}

fn failed(failure: &NoAnswer) -> Problem {
    let (reason, detail) = match failure {
        NoAnswer::Unreached => (
            "UPSTREAM_UNAVAILABLE",
            "the system behind this path cannot be reached now",
        ),
        NoAnswer::Broke => (
            "UPSTREAM_BROKE_OFF",
            "the system behind this path broke off before it answered",
        ),
    };
    Problem::new(StatusCode::BAD_GATEWAY, reason, detail)
}

//! One request from its headers to its answer, in one order. Each step may end the request; what it then answers
//! still goes through the last steps.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Instant};

use chassis::error::code_name;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use tonic::Code;
use tracing::{Instrument as _, Span};

use crate::{
    answer::{self, Answer, Body},
    exchange::Exchange,
    gateway::{Gateway, Place},
    headers,
    metrics::Answered,
    oauth, passthrough, plain,
    policy::Admitted,
    problem::Problem,
    rest,
    router::{self, Target},
    socket,
    status::Status,
    trace::Trace,
};

/// Answers a request. Never fails: what goes wrong becomes a problem.
pub(crate) async fn answer(
    gateway: Arc<Gateway>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Answer {
    let start = Instant::now();
    let api = gateway.api();
    let (head, body) = request.into_parts();
    // The route, since all that follows depends on the rpc; and what the request is called, since all that goes wrong
    // names it.
    let target = router::find(&api, &gateway.policies, &head);
    let label = target.label();
    let is_prefix = matches!(target, Target::Prefix(_));
    let usual = match &target {
        Target::Rest(found) => Some(api.usual_of(found)),
        _ => None,
    };
    let trace = Trace::begin(&head.headers, label, gateway.is_traced);
    let exchange = Exchange {
        gateway: &gateway,
        api: &api,
        client: gateway.policies.client(peer.ip(), &head.headers),
        trace: &trace,
        request_id: trace.id(),
        peer: peer.ip(),
        head: &head,
        chosen: None,
    };
    // Pinned where it is: a future that is handed on by value is copied at every step, several kilobytes each time.
    let steps = pin!(run(exchange, target, body));
    let mut answer = match &trace.span {
        Some(span) => steps.instrument(span.clone()).await,
        None => steps.await,
    };
    if is_prefix && matches!(answer.body(), Body::Flow(_)) {
        let id = exchange.trace.request_id.clone();
        answer.headers_mut().insert(headers::REQUEST_ID, id);
    } else {
        finish(&exchange, answer.headers_mut());
        if head.method == Method::HEAD {
            answer = answer::without_body(answer);
        }
    }
    let entered = trace.span.as_ref().map(Span::enter);
    let answered = Answered {
        verb: router::known_verb(&head.method),
        route: label,
        status: answer.status(),
        elapsed: start.elapsed(),
    };
    answered.count(usual);
    note(&exchange, answered);
    drop(entered);
    answer
}

/// What operators see of a request.
fn note(exchange: &Exchange<'_>, answered: Answered<'_>) {
    if !tracing::enabled!(target: "http", tracing::Level::INFO) {
        return;
    }
    let Answered { verb, route, .. } = answered;
    let status = answered.status.as_u16();
    let milliseconds = (answered.elapsed.as_secs_f64() * 1e6).round() / 1e3;
    let trace = exchange.trace;
    if trace.span.is_some() {
        tracing::info!(target: "http", method = verb, route, status, milliseconds, "answered");
    } else {
        let parent = trace
            .traceparent
            .as_ref()
            .and_then(|parent| parent.to_str().ok());
        let trace_id = parent.and_then(|parent| parent.split('-').nth(1));
        tracing::info!(
            target: "http", method = verb, route, status, milliseconds, request_id = trace.id(), trace_id, "answered"
        );
    }
}

/// The steps that may refuse, and the answer of the one that does not.
async fn run(exchange: Exchange<'_>, target: Target<'_, '_>, body: Incoming) -> Answer {
    let policies = &exchange.gateway.policies;
    let mut admitted = None;
    let protocol = target.protocol();
    let is_oauth = target.is_oauth(exchange.api);
    let is_prefix = matches!(target, Target::Prefix(_));
    let outcome = steps(exchange, target, body, &mut admitted).await;
    if let Some(chosen) = admitted
        .as_ref()
        .and_then(|admitted| admitted.chosen.as_ref())
    {
        chosen.answered(code(&outcome));
    }
    let mut answer = match outcome {
        Ok(mut answer) if is_prefix => {
            // What the old system says goes to the client as it is.
            policies.finish_passed(&exchange, admitted.as_ref(), answer.headers_mut());
            return answer;
        }
        Ok(answer) => answer,
        Err(problem) => match protocol {
            Some(protocol) => passthrough::failure(&problem, protocol),
            None if is_oauth => oauth::failure(&problem),
            None => {
                let response = problem.for_request(exchange.request_id).response();
                response.map(Into::into)
            }
        },
    };
    // CORS and RateLimit headers, compression: also failures have them, and what is kept has not.
    policies.finish(&exchange, admitted.as_ref(), &mut answer);
    if is_oauth {
        oauth::finish(&mut answer);
    }
    answer
}

/// How a call ended, or that its answer has begun.
fn code(outcome: &Result<Answer, Problem>) -> &'static str {
    match outcome {
        // gRPC that is passed through says it itself.
        Ok(answer) => match Status::read(answer.headers()) {
            Some(status) => code_name(status.code),
            None => code_name(Code::Ok),
        },
        Err(problem) => problem.code(),
    }
}

async fn steps<'r>(
    exchange: Exchange<'r>,
    target: Target<'r, '_>,
    body: Incoming,
    admitted: &mut Option<Admitted<'r>>,
) -> Result<Answer, Problem> {
    let policies = &exchange.gateway.policies;
    let headers = &exchange.head.headers;
    // Load is shed before it costs anything.
    let place = Place::take(exchange.gateway).ok_or_else(|| {
        let detail = "too many requests at once; try again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", detail)
    })?;
    // A preflight brings no token, and its OPTIONS has no route.
    if let Some(answer) = policies.preflight(&exchange) {
        return Ok(answer);
    }
    let found = match target {
        Target::Rest(found) => found,
        Target::Socket(found) => {
            let rules = exchange.api.rules_of(&found);
            let headers = socket::headers(exchange.head);
            policies.admit(&exchange, rules, &headers, admitted).await?;
            let exchange = exchange.sent_where(admitted);
            return socket::answer(&exchange, &found, headers, place);
        }
        Target::Rpc(method, protocol) => {
            // As for a route: the same rpc has the same rules, however it is called.
            policies
                .admit(&exchange, &method.rules, headers, admitted)
                .await?;
            let exchange = exchange.sent_where(admitted);
            let passed = passthrough::answer(exchange, method, protocol, body, place);
            return Box::pin(passed).await;
        }
        Target::Prefix(prefix) => {
            // Browsers say who they are otherwise where they open a WebSocket.
            let headers = socket::headers(exchange.head);
            policies
                .admit(&exchange, &prefix.rules, &headers, admitted)
                .await?;
            return Box::pin(plain::answer(exchange, prefix, body, place)).await;
        }
        Target::NoRpc(_) => return Err(router::no_rpc()),
        // The document and its page are everybody's: they say nothing that the contract does not.
        Target::Page(page) => return Ok(page.answer(&exchange)),
        Target::None(error) => return router::no_route(&exchange, error),
    };
    let rules = exchange.api.rules_of(&found);
    // Who may not call, or calls too often, is refused before the body is read.
    policies.admit(&exchange, rules, headers, admitted).await?;
    let exchange = exchange.sent_where(admitted);
    // What is kept is answered without a call; only now, since the caller is part of its key.
    let fetch = pin!(rest::answer(exchange, found, body, place));
    policies.kept(&exchange, rules, fetch).await
}

/// Headers of every answer.
pub(crate) fn finish(exchange: &Exchange<'_>, headers: &mut HeaderMap) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(headers::REQUEST_ID, exchange.trace.request_id.clone());
}

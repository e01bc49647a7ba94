//! One request: route, message, call, answer.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use chassis::{context::Context, telemetry};
use http::{HeaderValue, Method, Request, Response, header, request::Parts};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{api::Api, exchange::Exchange, headers, metrics, stream::Events};

/// Most requests at once, streams included; more are refused, to be tried again.
const MAX_REQUESTS: usize = 8_192;

/// What the gateway answers with.
pub type Answer = Response<Either<Full<Bytes>, Events>>;

/// All that requests share.
#[derive(Debug)]
pub struct Gateway {
    /// Swapped whole; a request keeps the one it began with.
    api: ArcSwap<Api>,
    pub(crate) ignore_unknown_fields: bool,
    requests: AtomicUsize,
    pub(crate) drain: CancellationToken,
}

impl Gateway {
    /// A gateway whose streams end at `drain`.
    pub fn new(api: Api, ignore_unknown_fields: bool, drain: CancellationToken) -> Self {
        Self {
            api: ArcSwap::from_pointee(api),
            ignore_unknown_fields,
            requests: AtomicUsize::new(0),
            drain,
        }
    }
}

/// A request's place among those that run, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gateway>);

impl Place {
    pub(crate) fn take(gateway: &Arc<Gateway>) -> Option<Self> {
        let before = gateway.requests.fetch_add(1, Ordering::Relaxed);
        let place = Self(gateway.clone());
        (before < MAX_REQUESTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers a request. Never fails: what goes wrong becomes a problem.
pub async fn answer(gateway: Arc<Gateway>, peer: SocketAddr, request: Request<Incoming>) -> Answer {
    let start = Instant::now();
    let api = gateway.api.load_full();
    let (head, body) = request.into_parts();
    let request_id = Context::new(headers::text(&head.headers, &headers::REQUEST_ID)).request_id;
    let route = api.rest().find(head.method.as_str(), head.uri.path());
    let label = match &route {
        Ok(found) => found.binding().template(),
        Err(_) if is_openapi(&head) => OPENAPI_PATH,
        Err(_) => "unmatched",
    };
    let incoming = headers::text(&head.headers, &headers::TRACEPARENT);
    let span = telemetry::entry_span(telemetry::Kind::Server, label, &request_id, incoming);
    let exchange = Exchange {
        gateway: &gateway,
        api: &api,
        peer,
        request_id: &request_id,
        head: &head,
    };
    let answer = async {
        let answer = exchange.run(route, body).await.unwrap_or_else(|problem| {
            let response = problem.for_request(&request_id).response();
            response.map(|body| Either::Left(Full::new(body)))
        });
        let status = answer.status();
        let elapsed = start.elapsed();
        let milliseconds = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
        let verb = known_verb(&head.method);
        metrics::answered(verb, label, status, elapsed);
        tracing::info!(
            target: "http", method = verb, route = label, status = status.as_u16(), milliseconds, "answered"
        );
        answer
    };
    let mut answer = answer.instrument(span).await;
    answer.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        answer.headers_mut().insert(headers::REQUEST_ID, id);
    }
    if head.method == Method::HEAD {
        answer = without_body(answer);
    }
    answer
}

/// Where the OpenAPI document is.
pub(crate) const OPENAPI_PATH: &str = "/openapi.json";

pub(crate) fn is_openapi(head: &Parts) -> bool {
    head.uri.path() == OPENAPI_PATH && (head.method == Method::GET || head.method == Method::HEAD)
}

/// Methods are labels of metrics, which are kept for good: no client chooses new ones.
fn known_verb(method: &Method) -> &'static str {
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

/// A HEAD answer says how long the body would be.
fn without_body(answer: Answer) -> Answer {
    use http_body::Body as _;

    let length = answer.body().size_hint().exact();
    let (mut head, _) = answer.into_parts();
    if let Some(length) = length {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Either::Left(Full::default()))
}

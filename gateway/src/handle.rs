//! One request: route, message, call, answer.

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use chassis::{context::Context, telemetry};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use transcode::{Encoder, Found, Input, Printer, RouteError};

use crate::{
    api::{self, Api},
    headers::{self, Times},
    metrics,
    problem::Problem,
    status::Status,
    stream::{self, Events, Format},
    upstream,
};

/// Largest body of a request, in bytes: what services accept as one message.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Longest time to send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most requests at once, streams included; more are refused, to be tried again.
const MAX_REQUESTS: usize = 8_192;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What the gateway answers with.
pub type Answer = Response<Either<Full<Bytes>, Events>>;

/// All that requests share.
#[derive(Debug)]
pub struct Gateway {
    /// Swapped whole; a request keeps the one it began with.
    api: ArcSwap<Api>,
    ignore_unknown_fields: bool,
    requests: AtomicUsize,
    drain: CancellationToken,
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

thread_local! {
    /// Scratch memory of messages on their way, one a thread: nothing is shared and nothing is allocated a field.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    encoder: Encoder,
    printer: Printer,
    buffer: Vec<u8>,
}

/// Scratch memory that is kept between requests, in bytes.
const MAX_KEPT_BYTES: usize = 256 * 1024;

/// Runs `make` with the thread's scratch memory, whose buffer is empty.
fn with_scratch<T>(make: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.buffer.clear();
        let made = make(scratch);
        if scratch.buffer.capacity() > MAX_KEPT_BYTES {
            scratch.buffer = Vec::new();
        }
        made
    })
}

/// A request's place among those that run, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gateway>);

impl Place {
    fn take(gateway: &Arc<Gateway>) -> Option<Self> {
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
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        answer.headers_mut().insert(headers::REQUEST_ID, id);
    }
    if head.method == Method::HEAD {
        answer = without_body(answer);
    }
    answer
}

const OPENAPI_PATH: &str = "/openapi.json";

fn is_openapi(head: &Parts) -> bool {
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

/// A request and what it is answered with.
struct Exchange<'r> {
    gateway: &'r Arc<Gateway>,
    api: &'r Arc<Api>,
    peer: SocketAddr,
    request_id: &'r str,
    head: &'r Parts,
}

impl Exchange<'_> {
    async fn run(
        &self,
        route: Result<Found<'_, '_>, RouteError>,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let Some(place) = Place::take(self.gateway) else {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(Problem::new(
                status,
                "OVERLOADED",
                "too many requests at once; try again",
            ));
        };
        let found = match route {
            Ok(found) => found,
            Err(_) if is_openapi(self.head) => return Ok(json(StatusCode::OK, self.api.openapi())),
            Err(error) => return self.no_route(error),
        };
        let method = self.api.method_of(found.binding());
        let format = self.format(method)?;
        let times = Times::of(&self.head.headers, method.policy.deadline).map_err(|header| {
            let detail = format!("the header {header} is malformed");
            Problem::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", detail)
        })?;
        let deadline = tokio::time::Instant::now() + times.deadline;
        let framed = self.message(&found, body).await?;
        let trace = telemetry::traceparent();
        let incoming = headers::text(&self.head.headers, &headers::TRACEPARENT);
        let metadata = headers::metadata(
            &self.head.headers,
            self.peer,
            self.request_id,
            trace.as_deref().or(incoming),
            times,
        );
        let upstream = method.upstream.as_ref().ok_or_else(|| {
            let service = found.method().descriptor.parent_service();
            tracing::warn!(service = service.full_name(), "no upstream is configured");
            Problem::of_status(&Status::unavailable())
        })?;
        let call = upstream.call(&method.path, metadata, framed);
        let answered = match format {
            None => {
                let call = async { call.await?.only().await };
                let message = tokio::time::timeout_at(deadline, call).await;
                message.map(|message| message.map(|message| unary(self.api, &found, &message)))
            }
            Some(format) => {
                let start = stream::Start {
                    api: self.api.clone(),
                    binding: found.binding_index(),
                    format,
                    deadline,
                    drain: self.gateway.drain.clone(),
                    request_id: self.request_id.into(),
                    _place: place,
                };
                let answer = async { start.answer(call.await?).await };
                let answer = tokio::time::timeout_at(deadline, answer).await;
                answer.map(|answer| answer.map(Ok))
            }
        };
        match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) => Err(Problem::of_status(&status)),
            Err(_) => Err(Problem::of_status(&Status::deadline_exceeded())),
        }
    }

    fn no_route(&self, error: RouteError) -> Result<Answer, Problem> {
        let path = self.head.uri.path();
        if path == OPENAPI_PATH {
            return Ok(self.not_allowed("GET, HEAD"));
        }
        match error {
            RouteError::NotFound => Err(Problem::new(
                StatusCode::NOT_FOUND,
                "ROUTE_NOT_FOUND",
                "there is nothing at this path",
            )),
            RouteError::MethodNotAllowed { allow } => Ok(self.not_allowed(&allow.join(", "))),
        }
    }

    fn not_allowed(&self, allow: &str) -> Answer {
        let detail = format!("this path takes {allow}");
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail);
        let mut response = problem.for_request(self.request_id).response();
        if let Ok(allow) = HeaderValue::from_str(allow) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response.map(|body| Either::Left(Full::new(body)))
    }

    /// How a stream is answered; `None` for one message.
    fn format(&self, method: &api::Method) -> Result<Option<Format>, Problem> {
        if method.client_streaming {
            return Err(Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "STREAM_NOT_SUPPORTED",
                "this rpc takes a stream of messages, which is not offered over REST",
            ));
        }
        if !method.server_streaming {
            return Ok(None);
        }
        let accept = headers::text(&self.head.headers, &header::ACCEPT);
        let format = Format::accepted(accept).ok_or_else(|| {
            Problem::new(
                StatusCode::NOT_ACCEPTABLE,
                "NOT_ACCEPTABLE",
                "a stream comes as text/event-stream, application/x-ndjson or application/json",
            )
        })?;
        Ok(Some(format))
    }

    /// The framed request message of path, query and body.
    async fn message(&self, found: &Found<'_, '_>, body: Incoming) -> Result<Bytes, Problem> {
        let body = receive(body).await?;
        let content_type = headers::text(&self.head.headers, &header::CONTENT_TYPE);
        let binding = found.binding();
        if !body.is_empty() && !binding.takes_raw_body() && !content_type.is_none_or(is_json) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "the body must be application/json in UTF-8",
            ));
        }
        let input = Input {
            query: self.head.uri.query().unwrap_or_default(),
            body: &body,
            content_type: content_type.unwrap_or_default(),
        };
        with_scratch(|scratch| {
            upstream::open_frame(&mut scratch.buffer);
            let outcome = if self.gateway.ignore_unknown_fields {
                found.encode(&mut Encoder::lenient(), &input, &mut scratch.buffer)
            } else {
                found.encode(&mut scratch.encoder, &input, &mut scratch.buffer)
            };
            outcome.map_err(|error| Problem::of_input(&error))?;
            upstream::frame(&mut scratch.buffer);
            Ok(Bytes::copy_from_slice(&scratch.buffer))
        })
    }
}

async fn receive(body: Incoming) -> Result<Bytes, Problem> {
    use http_body::Body as _;

    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || {
        let detail = format!("the body is larger than {MAX_BODY_BYTES} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
    };
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "BODY_INCOMPLETE",
            "the body broke off",
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "BODY_TIMEOUT",
            "the body did not come in time",
        )),
    }
}

/// `application/json` or `+json`, in UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.trim().eq_ignore_ascii_case("charset")
            || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    utf8 && (media == "application/json"
        || (media.starts_with("application/") && media.ends_with("+json")))
}

/// The answer for one message.
fn unary(api: &Api, found: &Found<'_, '_>, message: &[u8]) -> Result<Answer, Problem> {
    let unreadable = |error: transcode::OutputError| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "answer has no JSON form"
        );
        Problem::of_status(&Status::bad_answer())
    };
    let method = api.method_of(found.binding());
    let mut answer = if found.binding().answers_raw_body() {
        let raw = found.binding().raw_response(api.rest().schema(), message);
        let raw = raw.map_err(unreadable)?;
        let mut answer = json(method.success, Bytes::copy_from_slice(raw.data));
        let kind = HeaderValue::from_str(raw.content_type);
        let kind = kind.ok().filter(|kind| !kind.is_empty());
        let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    } else if method.success == StatusCode::NO_CONTENT {
        let mut answer = json(method.success, Bytes::new());
        answer.headers_mut().remove(header::CONTENT_TYPE);
        answer
    } else {
        let body = with_scratch(|scratch| {
            found.print(&mut scratch.printer, message, &mut scratch.buffer)?;
            Ok(Bytes::copy_from_slice(&scratch.buffer))
        });
        json(method.success, body.map_err(unreadable)?)
    };
    if let Some(template) = &method.location {
        let location = template.render(api.rest().schema(), message);
        let location = location.map_err(unreadable)?;
        if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
            answer.headers_mut().insert(header::LOCATION, location);
        }
    }
    Ok(answer)
}

fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

//! What a request becomes: a message, a call, an answer.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use chassis::telemetry;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use transcode::{Encoder, Found, Input, RouteError};

use crate::{
    api::{self, Api},
    body,
    handle::{Answer, Gateway, OPENAPI_PATH, Place, is_openapi},
    headers::{self, Times},
    problem::Problem,
    scratch::with_scratch,
    status::Status,
    stream::{self, Format},
    unary, upstream,
};

/// A request and what it is answered with.
pub(crate) struct Exchange<'r> {
    pub(crate) gateway: &'r Arc<Gateway>,
    pub(crate) api: &'r Arc<Api>,
    pub(crate) peer: SocketAddr,
    pub(crate) request_id: &'r str,
    pub(crate) head: &'r Parts,
}

impl Exchange<'_> {
    pub(crate) async fn run(
        &self,
        route: Result<Found<'_, '_>, RouteError>,
        body: Incoming,
    ) -> Result<Answer, Problem> {
        let Some(place) = Place::take(self.gateway) else {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let detail = "too many requests at once; try again";
            return Err(Problem::new(status, "OVERLOADED", detail));
        };
        let found = match route {
            Ok(found) => found,
            Err(_) if is_openapi(self.head) => {
                return Ok(unary::json(StatusCode::OK, self.api.openapi()));
            }
            Err(error) => return self.no_route(error),
        };
        let method = self.api.method_of(found.binding());
        let format = self.format(method)?;
        let times = Times::of(&self.head.headers, method.policy.deadline).map_err(|header| {
            let detail = format!("the header {header} is malformed");
            Problem::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", detail)
        })?;
        let deadline = Instant::now() + times.deadline;
        let framed = self.message(&found, body).await?;
        let upstream = method.upstream.as_ref().ok_or_else(|| {
            let service = found.method().descriptor.parent_service();
            tracing::warn!(
                rpc_service = service.full_name(),
                "no upstream is configured"
            );
            Problem::of_status(&Status::unavailable())
        })?;
        let call = upstream.call(&method.path, self.metadata(times), framed);
        let Some(format) = format else {
            let call = async { call.await?.only().await };
            let message = within(deadline, call).await?;
            return unary::answer(self.api, &found, &message);
        };
        let start = stream::Start {
            api: self.api.clone(),
            binding: found.binding_index(),
            format,
            deadline,
            drain: self.gateway.drain.clone(),
            request_id: self.request_id.into(),
            _place: place,
        };
        within(deadline, async { start.answer(call.await?).await }).await
    }

    fn metadata(&self, times: Times) -> HeaderMap {
        let trace = telemetry::traceparent();
        let incoming = headers::text(&self.head.headers, &headers::TRACEPARENT);
        headers::metadata(
            &self.head.headers,
            self.peer,
            self.request_id,
            trace.as_deref().or(incoming),
            times,
        )
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
        let body = body::receive(body).await?;
        let content_type = headers::text(&self.head.headers, &header::CONTENT_TYPE);
        let binding = found.binding();
        let encoding = headers::text(&self.head.headers, &header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_ENCODING",
                "the body must not be compressed",
            ));
        }
        if !body.is_empty() && !binding.takes_raw_body() && !content_type.is_none_or(body::is_json)
        {
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

async fn within<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Problem> {
    let outcome = timeout_at(deadline, call).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Status::deadline_exceeded()));
    outcome.map_err(|status| Problem::of_status(&status))
}

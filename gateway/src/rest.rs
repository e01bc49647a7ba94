//! A request by a route: message, call, answer.

use std::pin::pin;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use transcode::{Encoder, Found, Input};

use crate::{
    answer::{Answer, json},
    api::{Api, Method},
    body::{self, is_lines},
    exchange::Exchange,
    gateway::Place,
    headers::{self, Times},
    oauth,
    problem::Problem,
    scratch::with_scratch,
    status::Status,
    stream::{self, Format},
    upload::upload,
    upstream,
};

/// The answer of an rpc that has been found and may be called.
pub(crate) async fn answer(
    exchange: Exchange<'_>,
    found: Found<'_, '_>,
    body: Incoming,
    place: Place,
) -> Result<Answer, Problem> {
    let method = exchange.api.method_of(found.binding());
    let format = format(&exchange, &found, method)?;
    let headers = &exchange.head.headers;
    let times = match method.server_streaming || method.client_streaming {
        true => Times::of_stream(headers, method.policy.deadline),
        false => Times::of(headers, method.policy.deadline),
    };
    let times = times.map_err(Problem::malformed_header)?;
    let deadline = Instant::now() + times.deadline;
    // What is rarer than a single message has a future of its own, so that each request's stays small.
    if method.client_streaming {
        return Box::pin(uploaded(exchange, found, body, (times, deadline))).await;
    }
    let framed = message(&exchange, &found, body).await?;
    let upstream = exchange.upstream(method)?;
    let metadata = || exchange.metadata(times);
    let has_key = exchange.head.headers.contains_key(headers::IDEMPOTENCY_KEY);
    let call = upstream::Call {
        path: &method.path,
        metadata: &metadata,
        framed,
        repeatable: method.is_repeatable(&exchange.head.method, has_key),
    };
    let Some(format) = format else {
        let call = pin!(upstream.unary(call));
        let message = within(deadline, call).await?;
        return one(exchange.api, &found, &message);
    };
    let start = stream::Start {
        gateway: exchange.gateway.clone(),
        api: exchange.api.clone(),
        binding: found.binding_index(),
        format,
        deadline,
        request_id: exchange.request_id.into(),
        _place: place,
    };
    let begun = Box::pin(async { start.answer(upstream.call(call).await?).await });
    within(deadline, begun).await
}

/// The answer to a request whose body is a stream of messages.
async fn uploaded(
    exchange: Exchange<'_>,
    found: Found<'_, '_>,
    body: Incoming,
    (times, deadline): (Times, Instant),
) -> Result<Answer, Problem> {
    let method = exchange.api.method_of(found.binding());
    let metadata = exchange.metadata(times);
    let call = exchange.upstream(method)?;
    let call = call.open(&method.path, &metadata);
    let call = within(deadline, call).await?;
    let sent = timeout_at(deadline, upload(&exchange, &found, body, call)).await;
    let late = |_| Err(Problem::of_status(&Status::deadline_exceeded()));
    one(exchange.api, &found, &sent.unwrap_or_else(late)?)
}

/// How a stream is answered; `None` for one message.
fn format(
    exchange: &Exchange<'_>,
    found: &Found<'_, '_>,
    method: &Method,
) -> Result<Option<Format>, Problem> {
    if method.client_streaming {
        let content_type = headers::text(&exchange.head.headers, &header::CONTENT_TYPE);
        let is_upload = found.binding().takes_raw_body() || content_type.is_some_and(is_lines);
        if method.server_streaming || !is_upload {
            return Err(Problem::new(
                StatusCode::UPGRADE_REQUIRED,
                "WEBSOCKET_REQUIRED",
                match method.server_streaming {
                    true => "this rpc takes and gives streams: open a WebSocket at this path",
                    false => {
                        "this rpc takes a stream of messages: open a WebSocket at this path, \
                         or send them as lines of application/x-ndjson"
                    }
                },
            ));
        }
        return Ok(None);
    }
    if !method.server_streaming {
        return Ok(None);
    }
    if found.binding().answers_raw_body() {
        return Ok(Some(Format::Raw));
    }
    let accept = headers::text(&exchange.head.headers, &header::ACCEPT);
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
async fn message(
    exchange: &Exchange<'_>,
    found: &Found<'_, '_>,
    body: Incoming,
) -> Result<Bytes, Problem> {
    let limits = exchange.gateway.policies.limits();
    let rules = exchange.api.rules_of(found);
    let body = body::receive(body, rules.max_body_bytes, limits.body_timeout).await?;
    let headers = &exchange.head.headers;
    let content_type = headers::text(headers, &header::CONTENT_TYPE);
    let encoding = headers::text(headers, &header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_ENCODING",
            "the body must not be compressed",
        ));
    }
    let query = exchange.head.uri.query().unwrap_or_default();
    let is_oauth = exchange.api.method_of(found.binding()).policy.rest.oauth;
    // Fields of a form are those of a query: what is left of the body is nothing.
    let (form, body) = match is_oauth {
        true => (Some(oauth::form(query, content_type, &body)?), Bytes::new()),
        false => (None, body),
    };
    let raw = found.binding().takes_raw_body();
    if !body.is_empty() && !raw && !content_type.is_none_or(body::is_json) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            "the body must be application/json in UTF-8",
        ));
    }
    let fields = header_fields(found, headers)?;
    let input = Input {
        query: form.as_deref().unwrap_or(query),
        body: &body,
        content_type: content_type.unwrap_or_default(),
        headers: &fields,
    };
    with_scratch(|scratch| {
        upstream::open_frame(&mut scratch.buffer);
        let outcome = if exchange.gateway.ignore_unknown_fields || is_oauth {
            found.encode(&mut Encoder::lenient(), &input, &mut scratch.buffer)
        } else {
            found.encode(&mut scratch.encoder, &input, &mut scratch.buffer)
        };
        outcome.map_err(|error| Problem::of_input(&error))?;
        upstream::frame(&mut scratch.buffer);
        Ok(Bytes::copy_from_slice(&scratch.buffer))
    })
}

/// The headers that the contract lets fill fields. Allocates nothing for routes without any.
pub(crate) fn header_fields<'h>(
    found: &Found<'h, '_>,
    headers: &'h HeaderMap,
) -> Result<Vec<(&'h str, &'h str)>, Problem> {
    let mut fields = Vec::new();
    for (name, _) in found.binding().headers() {
        for value in headers.get_all(name) {
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| {
                let detail = format!("the header {name} is not UTF-8");
                Problem::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", detail)
            })?;
            fields.push((name, value));
        }
    }
    Ok(fields)
}

async fn within<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Problem> {
    let outcome = timeout_at(deadline, call).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Status::deadline_exceeded()));
    outcome.map_err(|status| Problem::of_status(&status))
}

/// JSON, or what a `google.api.HttpBody` holds, with the status and Location that the contract says.
fn one(api: &Api, found: &Found<'_, '_>, message: &[u8]) -> Result<Answer, Problem> {
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

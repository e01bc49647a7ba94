//! The answer for one message.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use transcode::Found;

use crate::{api::Api, handle::Answer, problem::Problem, scratch::with_scratch, status::Status};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// JSON, or what a `google.api.HttpBody` holds, with the status and Location that the contract says.
pub(crate) fn answer(api: &Api, found: &Found<'_, '_>, message: &[u8]) -> Result<Answer, Problem> {
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

pub(crate) fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

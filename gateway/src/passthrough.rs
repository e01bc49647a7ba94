//! gRPC and gRPC-Web as they are: messages go through unread, in both directions, at the pace of the slower side.

mod web;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version, header, request::Parts};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::{
    task::JoinHandle,
    time::{Instant, Sleep, sleep_until, timeout_at},
};
use tonic::Code;
pub(crate) use web::{Protocol, Unpack};

use crate::{
    answer::{Answer, Body as AnswerBody, Broken},
    api::Method,
    exchange::Exchange,
    gateway::Place,
    headers::{self, Times},
    metrics::OpenStream,
    problem::Problem,
    status::Status,
    upstream::{Outgoing, Receiving},
};

/// The answer of an rpc that was called by its own path.
pub(crate) async fn answer(
    exchange: Exchange<'_>,
    method: &Method,
    protocol: Protocol,
    body: Incoming,
    place: Place,
) -> Result<Answer, Problem> {
    let head = exchange.head;
    if protocol == Protocol::Grpc && head.version < Version::HTTP_2 {
        return Err(Problem::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "HTTP2_NEEDED",
            "gRPC needs HTTP/2; over HTTP/1.1 there is gRPC-Web",
        ));
    }
    let times = Times::of(&head.headers, method.policy.deadline);
    let times = times.map_err(Problem::malformed_header)?;
    let deadline = Instant::now() + times.deadline;
    let upstream = exchange.upstream(method)?;
    let metadata = exchange.passed_metadata(times);
    let begun = async {
        let (outgoing, reply) = upstream.open(&method.path, &metadata).await?;
        let pump = Pump(tokio::spawn(pump(body, outgoing, Unpack::new(protocol))));
        Ok((reply.response().await?, pump))
    };
    let begun = timeout_at(deadline, begun).await;
    let begun = begun.unwrap_or_else(|_| Err(Status::deadline_exceeded()));
    let (response, pump) = begun.map_err(|status| Problem::of_status(&status))?;
    if response.status() != StatusCode::OK {
        return Err(Problem::of_status(&Status::of_http(response.status())));
    }
    let (mut head, body) = response.into_parts();
    for name in headers::HOP_BY_HOP {
        head.headers.remove(name);
    }
    head.headers
        .insert(header::CONTENT_TYPE, protocol.content_type());
    Status::mend(&mut head.headers);
    let passed = Passed {
        body,
        protocol,
        deadline: Box::pin(sleep_until(deadline)),
        ended: false,
        _pump: pump,
        _place: place,
        _open: OpenStream::new(),
    };
    let mut answer = Response::new(AnswerBody::flow(passed));
    *answer.headers_mut() = head.headers;
    Ok(answer)
}

/// A failure as an answer of its own, without messages.
pub(crate) fn failure(problem: &Problem, protocol: Protocol) -> Answer {
    let mut answer = Response::new(AnswerBody::default());
    *answer.headers_mut() = problem.trailers();
    let content_type = protocol.content_type();
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    answer
}

/// The protocol of a request that calls an rpc by its path; `None` for any other request.
pub(crate) fn protocol(head: &Parts) -> Option<Protocol> {
    if head.method != http::Method::POST {
        return None;
    }
    Protocol::of(headers::text(&head.headers, &header::CONTENT_TYPE)?)
}

/// What the client sends goes to the upstream as fast as that takes it.
async fn pump(mut body: Incoming, mut outgoing: Outgoing, mut unpack: Unpack) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // The client went away in the middle.
            outgoing.cancel();
            return;
        };
        let Ok(data) = frame.into_data() else {
            continue; // gRPC has no trailers of requests.
        };
        let Some(data) = unpack.unpack(data) else {
            outgoing.cancel();
            return;
        };
        // The upstream takes no more: its answer says why.
        if outgoing.send(data).await.is_err() {
            return;
        }
    }
    // The same.
    let _ = outgoing.finish();
}

/// Ends with the answer: nobody is left who would want what is still sent.
struct Pump(JoinHandle<()>);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The answer's messages and trailers on their way.
struct Passed {
    body: Receiving,
    protocol: Protocol,
    deadline: Pin<Box<Sleep>>,
    ended: bool,
    _pump: Pump,
    _place: Place,
    _open: OpenStream,
}

impl Passed {
    fn end(&mut self, mut trailers: HeaderMap) -> Frame<Bytes> {
        self.ended = true;
        Status::mend(&mut trailers);
        self.protocol.trailers(trailers)
    }

    fn fail(&mut self, status: &Status) -> Frame<Bytes> {
        self.end(Problem::of_status(status).trailers())
    }
}

impl Body for Passed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(context));
                return Poll::Ready(Some(Ok(self.fail(&Status::deadline_exceeded()))));
            }
            Poll::Ready(frame) => frame,
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(match frame.into_data() {
                Ok(data) => self.protocol.data(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    self.end(trailers)
                }
            })),
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "answer broke off");
                let status = Status::new(Code::Unavailable, "the service broke off");
                Some(Ok(self.fail(&status)))
            }
            // The headers said it all.
            None => None,
        })
    }
}

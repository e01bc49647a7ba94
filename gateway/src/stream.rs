//! A server stream over HTTP: server-sent events, lines of JSON or a JSON array.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use transcode::Printer;

use crate::{
    answer::{Answer, Body as AnswerBody, Broken},
    api::Api,
    gateway::Place,
    metrics::OpenStream,
    problem::Problem,
    status::Status,
    upstream::Messages,
};

/// Time between two signs of life on a quiet event stream; proxies close what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How messages are put into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/event-stream`
    Events,
    /// `application/x-ndjson`
    Lines,
    /// `application/json`: one array.
    Array,
}

impl Format {
    /// The format that an Accept header prefers, events where it leaves the choice; `None` where it takes none of them.
    pub fn accepted(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
            return Some(Self::Events);
        };
        let mut best: Option<(Self, f32)> = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
                .as_str()
            {
                "text/event-stream" | "text/*" | "*/*" => Self::Events,
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::Lines,
                "application/json" | "application/*" => Self::Array,
                _ => continue,
            };
            let quality = parts
                .find_map(|parameter| parameter.strip_prefix("q=")?.parse::<f32>().ok())
                .unwrap_or(1.0);
            if quality > 0.0 && best.is_none_or(|(_, other)| quality > other) {
                best = Some((format, quality));
            }
        }
        best.map(|(format, _)| format)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Lines => "application/x-ndjson",
            Self::Array => "application/json",
        }
    }
}

/// A stream that has been called.
pub(crate) struct Start {
    pub(crate) api: Arc<Api>,
    pub(crate) binding: usize,
    pub(crate) format: Format,
    pub(crate) deadline: Instant,
    pub(crate) drain: CancellationToken,
    pub(crate) request_id: Box<str>,
    /// Held as long as the stream lasts.
    pub(crate) _place: Place,
}

impl Start {
    /// Waits for the first message, so that a failure before it is a real HTTP error.
    pub(crate) async fn answer(self, mut messages: Messages) -> Result<Answer, Status> {
        let first = messages.next().await?;
        let format = self.format;
        let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running = Running {
            start: self,
            messages,
            printer: Printer::default(),
            buffer: BytesMut::new(),
            count: 0,
            beat,
            ended: false,
            _open: OpenStream::new(),
        };
        let opening = running.opening(first);
        let rest = stream::unfold(running, |mut running| async move {
            let chunk = running.chunk().await?;
            Some((chunk, running))
        });
        let all = futures::StreamExt::chain(stream::iter([opening]), rest);
        let mut response = Response::new(AnswerBody::flow(Events(Box::pin(all))));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(format.content_type()),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Some proxies gather what comes slowly.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }
}

/// The body of a stream. Each message is a chunk of its own, and none is fetched before the client took the last.
pub struct Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let chunk = self.0.as_mut().poll_next(context);
        chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

struct Running {
    start: Start,
    messages: Messages,
    printer: Printer,
    buffer: BytesMut,
    /// Messages so far.
    count: u64,
    beat: Interval,
    ended: bool,
    _open: OpenStream,
}

impl Running {
    /// The first chunk.
    fn opening(&mut self, first: Option<Bytes>) -> Bytes {
        match first {
            Some(message) => self.message(&message),
            None => self.end(),
        }
    }

    /// The next chunk; `None` after the last.
    async fn chunk(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let next = tokio::select! {
            biased;
            next = self.messages.next() => next,
            () = sleep_until(self.start.deadline) => Err(Status::deadline_exceeded()),
            () = self.start.drain.cancelled() => {
                Err(Status::new(Code::Unavailable, "the gateway is going away; connect again"))
            }
            _ = self.beat.tick(), if self.start.format == Format::Events => {
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        };
        self.beat.reset();
        match next {
            Ok(Some(message)) => Some(self.message(&message)),
            Ok(None) => match self.end() {
                last if last.is_empty() => None,
                last => Some(last),
            },
            Err(status) => Some(self.failure(&status)),
        }
    }

    fn message(&mut self, message: &[u8]) -> Bytes {
        let rest = self.start.api.rest();
        let binding = &rest.bindings()[self.start.binding];
        if binding.answers_raw_body() {
            return match binding.raw_response(rest.schema(), message) {
                Ok(raw) => Bytes::copy_from_slice(raw.data),
                Err(_) => self.failure(&Status::bad_answer()),
            };
        }
        let mut json = Vec::with_capacity(message.len() * 2);
        if let Err(error) = binding.print(rest.schema(), &mut self.printer, message, &mut json) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "message has no JSON form"
            );
            return self.failure(&Status::bad_answer());
        }
        self.record(None, &json)
    }

    /// The record that says that the stream broke.
    fn failure(&mut self, status: &Status) -> Bytes {
        let problem = Problem::of_status(status)
            .for_request(&self.start.request_id)
            .json();
        let problem = match self.start.format {
            Format::Events => problem,
            // Told from messages by its one member.
            Format::Lines | Format::Array => [b"{\"error\":", &problem[..], b"}"].concat().into(),
        };
        let record = self.record(Some("error"), &problem);
        let end = self.end();
        [record, end].concat().into()
    }

    fn record(&mut self, event: Option<&str>, json: &[u8]) -> Bytes {
        let first = self.count == 0;
        self.count += 1;
        let buffer = &mut self.buffer;
        match self.start.format {
            Format::Events => {
                match event {
                    Some(event) => buffer.extend_from_slice(format!("event: {event}\n").as_bytes()),
                    None => buffer.extend_from_slice(format!("id: {}\n", self.count).as_bytes()),
                }
                buffer.extend_from_slice(b"data: ");
                buffer.extend_from_slice(json);
                buffer.extend_from_slice(b"\n\n");
            }
            Format::Lines => {
                buffer.extend_from_slice(json);
                buffer.extend_from_slice(b"\n");
            }
            Format::Array => {
                buffer.extend_from_slice(if first { b"[" } else { b"," });
                buffer.extend_from_slice(json);
            }
        }
        buffer.split().freeze()
    }

    fn end(&mut self) -> Bytes {
        self.ended = true;
        let raw = self.start.api.rest().bindings()[self.start.binding].answers_raw_body();
        match self.start.format {
            Format::Array if raw => Bytes::new(),
            Format::Array if self.count == 0 => Bytes::from_static(b"[]"),
            Format::Array => Bytes::from_static(b"]"),
            Format::Events | Format::Lines => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_chooses_the_format() {
        for (accept, format) in [
            (None, Some(Format::Events)),
            (Some("*/*"), Some(Format::Events)),
            (Some("text/event-stream"), Some(Format::Events)),
            (Some("application/x-ndjson"), Some(Format::Lines)),
            (Some("application/json"), Some(Format::Array)),
            (
                Some("application/json;q=0.5, text/event-stream"),
                Some(Format::Events),
            ),
            (
                Some("text/html, application/json;q=0.9, */*;q=0.1"),
                Some(Format::Array),
            ),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }
}

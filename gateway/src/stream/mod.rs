//! A server stream over HTTP: server-sent events, lines of JSON, a JSON array, or the bytes of `google.api.HttpBody`.

mod format;

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
pub use format::Format;
use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame};
use tokio::{
    task::yield_now,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};
use tonic::Code;
use transcode::Printer;

use crate::{
    answer::{Answer, Body as AnswerBody, Broken},
    api::Api,
    gateway::{Gateway, Place},
    metrics::OpenStream,
    problem::Problem,
    status::Status,
    upstream::Messages,
};

/// Bytes after which messages that have come already wait for the next chunk.
const CHUNK_BYTES: usize = 16 * 1024;

/// A stream that has been called.
pub(crate) struct Start {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) api: Arc<Api>,
    pub(crate) binding: usize,
    pub(crate) format: Format,
    pub(crate) deadline: Instant,
    pub(crate) request_id: Box<str>,
    /// Held as long as the stream lasts.
    pub(crate) _place: Place,
}

impl Start {
    /// Waits for the first message, so that a failure before it is a real HTTP error.
    pub(crate) async fn answer(self, mut messages: Messages) -> Result<Answer, Status> {
        let first = messages.next().await?;
        let kind = self.content_type(first.as_deref())?;
        let heartbeat = self.gateway.policies.limits().heartbeat;
        let mut beat = interval_at(Instant::now() + heartbeat, heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut running = Running {
            start: self,
            messages,
            printer: Printer::default(),
            out: Vec::new(),
            count: 0,
            beat,
            ended: false,
            broken: None,
            _open: OpenStream::new(),
        };
        running.take(Ok(first));
        let chunks = stream::unfold(running, |mut running| async move {
            let chunk = running.chunk().await?;
            Some((chunk, running))
        });
        let mut response = Response::new(AnswerBody::flow(Chunks(chunks.boxed())));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Some proxies gather what comes slowly.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }

    /// Of the format, or what the first `google.api.HttpBody` says.
    fn content_type(&self, first: Option<&[u8]>) -> Result<HeaderValue, Status> {
        let usual = HeaderValue::from_static(self.format.content_type());
        let Some(first) = first.filter(|_| self.format == Format::Raw) else {
            return Ok(usual);
        };
        let rest = self.api.rest();
        let raw = rest.bindings()[self.binding].raw_response(rest.schema(), first);
        let kind = raw.map_err(|_| Status::bad_answer())?.content_type;
        let kind = HeaderValue::from_str(kind).ok();
        Ok(kind.filter(|kind| !kind.is_empty()).unwrap_or(usual))
    }
}

/// The body of a stream. Messages go out as they come; none is fetched before the client took the last chunk.
struct Chunks(Pin<Box<dyn Stream<Item = Result<Bytes, Broken>> + Send>>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let chunk = self.0.as_mut().poll_next(context);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

struct Running {
    start: Start,
    messages: Messages,
    printer: Printer,
    /// The next chunk.
    out: Vec<u8>,
    /// Messages so far.
    count: u64,
    beat: Interval,
    ended: bool,
    /// Why bytes without records end before their end.
    broken: Option<Broken>,
    _open: OpenStream,
}

impl Running {
    /// The next chunk; `None` after the last.
    async fn chunk(&mut self) -> Option<Result<Bytes, Broken>> {
        while self.out.is_empty() && !self.ended {
            let next = self.wait().await;
            if let Some(next) = next {
                self.beat.reset();
                self.take(next);
            }
        }
        // What has come meanwhile goes along; nothing waits for more.
        while !self.ended && self.out.len() < CHUNK_BYTES {
            match self.messages.next().now_or_never() {
                Some(next) => self.take(next),
                None => break,
            }
        }
        if self.out.is_empty() {
            let broken = self.broken.take()?;
            // What came before goes out first: with the error the connection drops what it has not sent.
            yield_now().await;
            return Some(Err(broken));
        }
        Some(Ok(mem::take(&mut self.out).into()))
    }

    /// What happens next; `None` where it was but a sign of life.
    async fn wait(&mut self) -> Option<Result<Option<Bytes>, Status>> {
        tokio::select! {
            biased;
            next = self.messages.next() => Some(next),
            () = sleep_until(self.start.deadline) => Some(Err(Status::deadline_exceeded())),
            () = self.start.gateway.drain.cancelled() => {
                let text = "the gateway is going away; connect again";
                Some(Err(Status::new(Code::Unavailable, text)))
            }
            _ = self.beat.tick(), if self.start.format == Format::Events => {
                self.out.extend_from_slice(b": still here\n\n");
                None
            }
        }
    }

    fn take(&mut self, next: Result<Option<Bytes>, Status>) {
        match next {
            Ok(Some(message)) => {
                if let Err(status) = self.message(&message) {
                    self.fail(&status);
                }
            }
            Ok(None) => {
                self.ended = true;
                self.start.format.end(self.count, &mut self.out);
            }
            Err(status) => self.fail(&status),
        }
    }

    fn message(&mut self, message: &[u8]) -> Result<(), Status> {
        let unreadable = |error: transcode::OutputError| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "message has no JSON form"
            );
            Status::bad_answer()
        };
        let (rest, format) = (self.start.api.rest(), self.start.format);
        let binding = &rest.bindings()[self.start.binding];
        if format == Format::Raw {
            let raw = binding.raw_response(rest.schema(), message);
            self.out.extend_from_slice(raw.map_err(unreadable)?.data);
            return Ok(());
        }
        let before = self.out.len();
        self.out.reserve(message.len() * 2 + 32);
        format.open(self.count + 1, &mut self.out);
        let printed = binding.print(rest.schema(), &mut self.printer, message, &mut self.out);
        if let Err(error) = printed {
            self.out.truncate(before);
            return Err(unreadable(error));
        }
        format.close(&mut self.out);
        self.count += 1;
        Ok(())
    }

    /// The record that says that the stream broke. Raw bytes have no place for one: there the connection breaks.
    fn fail(&mut self, status: &Status) {
        self.ended = true;
        let problem = Problem::of_status(status).for_request(&self.start.request_id);
        if self.start.format == Format::Raw {
            tracing::info!(code = ?status.code, "a raw stream broke");
            self.broken = Some(status.message.clone().into());
            return;
        }
        let format = self.start.format;
        format.failure(self.count + 1, &problem.json(), &mut self.out);
        format.end(self.count + 1, &mut self.out);
    }
}

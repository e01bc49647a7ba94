//! One WebSocket from its first frame to its close.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{
    SinkExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderMap, Uri, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, Utf8Bytes, protocol::frame::coding::CloseCode},
};
use tonic::Code;
use transcode::{Body, Encoder, Found, Input, Printer};

use super::close::End;
use crate::{
    api::Api,
    exchange::Exchange,
    gateway::{Gateway, Place},
    headers::Times,
    metrics::OpenStream,
    problem::Problem,
    rest,
    status::Status,
    upstream::{Chosen, Messages, Outgoing, Reply, Way, frame, open_frame},
};

/// Longest wait for the client to read the last record and to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Sink = SplitSink<Socket, Message>;
type Frames = SplitStream<Socket>;

/// Everything that a session needs once its request is over.
pub(super) struct Session {
    gateway: Arc<Gateway>,
    api: Arc<Api>,
    verb: Box<str>,
    uri: Uri,
    headers: HeaderMap,
    metadata: HeaderMap,
    request_id: Box<str>,
    deadline: Instant,
    /// Where the call goes, where several upstreams share it.
    chosen: Option<Chosen>,
    _place: Place,
    _open: OpenStream,
}

/// What the two directions know of each other.
#[derive(Default)]
struct Life {
    /// A frame came since the last ping.
    heard: AtomicBool,
    /// Frames are not read now, since the upstream takes no more.
    held_back: AtomicBool,
}

impl Session {
    pub(super) fn new(
        exchange: &Exchange<'_>,
        found: &Found<'_, '_>,
        headers: HeaderMap,
        place: Place,
    ) -> Result<Self, Problem> {
        let method = exchange.api.method_of(found.binding());
        exchange.upstream(method)?;
        let times = Times::of_stream(&headers, method.policy.deadline);
        let times = times.map_err(Problem::malformed_header)?;
        let mut metadata = exchange.metadata(times);
        if let Some(token) = headers.get(header::AUTHORIZATION) {
            metadata.insert(header::AUTHORIZATION, token.clone());
        }
        // Read early, so that a bad one is an HTTP error.
        rest::header_fields(found, &headers)?;
        Ok(Self {
            gateway: exchange.gateway.clone(),
            api: exchange.api.clone(),
            verb: found.binding().verb().into(),
            uri: exchange.head.uri.clone(),
            metadata,
            headers,
            request_id: exchange.request_id.into(),
            deadline: Instant::now() + times.deadline,
            chosen: exchange.chosen.cloned(),
            _place: place,
            _open: OpenStream::new(),
        })
    }

    /// Runs the call, then says how it ended.
    pub(super) async fn run(self, socket: Socket) {
        let (mut sink, mut frames) = socket.split();
        let end = self.call(&mut sink, &mut frames).await;
        if let Some(chosen) = &self.chosen {
            chosen.ended(end.code());
        }
        let Some(close) = end.frame() else {
            // Answers the client's close, where it is still there to hear it.
            let _ = timeout(CLOSE_TIMEOUT, sink.close()).await;
            return;
        };
        let farewell = async {
            if let Some(record) = end.record(&self.request_id) {
                let text = Utf8Bytes::try_from(record).unwrap_or_default();
                sink.send(Message::Text(text)).await?;
            }
            sink.send(Message::Close(Some(close))).await?;
            // The connection is the client's to end, after it has read all this.
            while let Some(frame) = frames.next().await {
                frame?;
            }
            Ok::<_, tokio_tungstenite::tungstenite::Error>(())
        };
        // Whoever does not read it in time is gone.
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }

    async fn call(&self, sink: &mut Sink, frames: &mut Frames) -> End {
        // The route was found a moment ago, in the same contract.
        let Ok(found) = self.api.rest().find(&self.verb, self.uri.path()) else {
            return End::Failed(Status::unavailable());
        };
        let method = self.api.method_of(found.binding());
        let way = match (&self.chosen, &method.upstream) {
            (Some(chosen), _) => Way::Shared(chosen),
            (None, Some(upstream)) => Way::Only(upstream),
            (None, None) => return End::Failed(Status::unavailable()),
        };
        let opened = timeout_at(self.deadline, way.open(&method.path, &self.metadata));
        let (outgoing, reply) = match opened.await {
            Ok(Ok(call)) => call,
            Ok(Err(status)) => return End::Failed(status),
            Err(_) => return End::Failed(Status::deadline_exceeded()),
        };
        let life = Life::default();
        tokio::select! {
            end = self.inbound(&found, frames, outgoing, &life) => end,
            end = self.outbound(&found, sink, reply, &life) => end,
        }
    }

    /// Gives the client's messages on. Ends only where the session does.
    async fn inbound(
        &self,
        found: &Found<'_, '_>,
        frames: &mut Frames,
        mut outgoing: Outgoing,
        life: &Life,
    ) -> End {
        let mut encoder = if self.gateway.ignore_unknown_fields {
            Encoder::lenient()
        } else {
            Encoder::default()
        };
        let method = self.api.method_of(found.binding());
        let mut is_open = true;
        if !method.client_streaming && found.binding().body() == Body::None {
            // Path and query say everything.
            match self.encoded(found, &mut encoder, &[], "") {
                Ok(message) => send(&mut outgoing, message, true, life, &mut is_open).await,
                Err(problem) => return End::Refused(problem),
            }
        }
        while let Some(frame) = frames.next().await {
            life.heard.store(true, Ordering::Relaxed);
            let (body, kind) = match frame {
                Ok(Message::Text(text)) if text.is_empty() => {
                    if std::mem::take(&mut is_open) {
                        // Fails where the call has ended; its answer says how.
                        let _ = outgoing.finish();
                    }
                    continue;
                }
                Ok(Message::Text(text)) => (Bytes::from(text), TEXT),
                Ok(Message::Binary(bytes)) if found.binding().takes_raw_body() => (bytes, BINARY),
                Ok(Message::Binary(_)) => {
                    return End::Unacceptable(CloseCode::Unsupported, "frames must be text");
                }
                Ok(Message::Close(_)) => return End::Gone,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(error) => return End::of_error(&error),
            };
            if !is_open {
                return End::Unacceptable(CloseCode::Policy, "no message is expected any more");
            }
            match self.encoded(found, &mut encoder, &body, kind) {
                Ok(message) => {
                    let is_last = !method.client_streaming;
                    send(&mut outgoing, message, is_last, life, &mut is_open).await;
                }
                Err(problem) => return End::Refused(problem),
            }
        }
        End::Gone
    }

    /// A framed message of a frame, path and query.
    fn encoded(
        &self,
        found: &Found<'_, '_>,
        encoder: &mut Encoder,
        body: &[u8],
        kind: &str,
    ) -> Result<Bytes, Problem> {
        let fields = rest::header_fields(found, &self.headers)?;
        let input = Input {
            query: self.uri.query().unwrap_or_default(),
            body,
            content_type: kind,
            headers: &fields,
        };
        let mut framed = Vec::with_capacity(body.len() + 16);
        open_frame(&mut framed);
        found
            .encode(encoder, &input, &mut framed)
            .map_err(|error| Problem::of_input(&error))?;
        frame(&mut framed);
        Ok(framed.into())
    }

    /// Gives the answers on, one a frame; none is fetched before the client took the last.
    async fn outbound(
        &self,
        found: &Found<'_, '_>,
        sink: &mut Sink,
        reply: Reply,
        life: &Life,
    ) -> End {
        let heartbeat = self.gateway.policies.limits().heartbeat;
        let mut beat = interval_at(Instant::now() + heartbeat, heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        life.heard.store(true, Ordering::Relaxed);
        let mut answers = Answers::Coming(Box::pin(reply.messages()));
        let mut printer = Printer::default();
        let mut late = std::pin::pin!(sleep_until(self.deadline));
        loop {
            let next = tokio::select! {
                biased;
                next = answers.next() => next,
                () = &mut late => Err(Status::deadline_exceeded()),
                () = self.gateway.drain.cancelled() => {
                    let text = "the gateway is going away; connect again";
                    return End::Drained(Status::new(Code::Unavailable, text));
                }
                _ = beat.tick() => {
                    let heard = life.heard.swap(false, Ordering::Relaxed);
                    let is_there = heard || life.held_back.load(Ordering::Relaxed);
                    if !is_there || sink.send(Message::Ping(Bytes::new())).await.is_err() {
                        return End::Gone;
                    }
                    continue;
                }
            };
            let message = match next {
                Ok(Some(message)) => message,
                Ok(None) => return End::Done,
                Err(status) => return End::Failed(status),
            };
            let Some(message) = self.printed(found, &mut printer, &message) else {
                return End::Failed(Status::bad_answer());
            };
            if sink.send(message).await.is_err() {
                return End::Gone;
            }
        }
    }

    fn printed(
        &self,
        found: &Found<'_, '_>,
        printer: &mut Printer,
        message: &[u8],
    ) -> Option<Message> {
        let fault = |error: transcode::OutputError| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "message has no JSON form"
            );
        };
        let schema = self.api.rest().schema();
        if found.binding().answers_raw_body() {
            let raw = found.binding().raw_response(schema, message);
            let raw = raw.map_err(fault).ok()?;
            return Some(Message::Binary(Bytes::copy_from_slice(raw.data)));
        }
        let mut json = Vec::with_capacity(message.len() * 2);
        found
            .print(printer, message, &mut json)
            .map_err(fault)
            .ok()?;
        Utf8Bytes::try_from(json).ok().map(Message::Text)
    }
}

/// Sends a message as the upstream takes it. Where it takes no more, its answer says why.
async fn send(
    outgoing: &mut Outgoing,
    message: Bytes,
    is_last: bool,
    life: &Life,
    is_open: &mut bool,
) {
    life.held_back.store(true, Ordering::Relaxed);
    let sent = outgoing.send(message).await;
    life.held_back.store(false, Ordering::Relaxed);
    life.heard.store(true, Ordering::Relaxed);
    if is_last && sent.is_ok() {
        *is_open = false;
        // Fails where the call has ended; its answer says how.
        let _ = outgoing.finish();
    }
}

/// The answers, once they begin.
enum Answers {
    Coming(BoxFuture<'static, Result<Messages, Status>>),
    Begun(Messages),
}

impl Answers {
    /// The next one. May be dropped and called again.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            match self {
                Self::Coming(begin) => {
                    let begin: Pin<&mut _> = begin.as_mut();
                    *self = Self::Begun(begin.await?);
                }
                Self::Begun(messages) => return messages.next().await,
            }
        }
    }
}

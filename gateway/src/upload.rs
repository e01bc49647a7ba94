//! A body that goes on as it comes: rpcs that take a stream and answer with one message. Each chunk is a message where they
//! take `google.api.HttpBody`, else each line of JSON is.

mod lines;

use std::mem;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use lines::{Lines, TooLong};
use tokio::time::timeout;
use transcode::{Encoder, Found, Input};

use crate::{
    body,
    exchange::Exchange,
    headers,
    problem::Problem,
    rest,
    upstream::{FRAME_HEADER_BYTES, Outgoing, Reply, frame},
};

/// Bytes of lines after which they are sent.
const BATCH_BYTES: usize = 16 * 1024;

/// Sends the body's messages, no faster than the upstream takes them, and waits for its answer.
///
/// # Errors
/// The body breaks off, stands still or is no message, or the call fails; that may be before the body's end.
pub(crate) async fn upload(
    exchange: &Exchange<'_>,
    found: &Found<'_, '_>,
    body: Incoming,
    (outgoing, reply): (Outgoing, Reply),
) -> Result<Bytes, Problem> {
    let mut send = std::pin::pin!(send(exchange, found, body, outgoing));
    let mut answer = std::pin::pin!(async { reply.messages().await?.only().await });
    let outcome = tokio::select! {
        outcome = &mut answer => outcome,
        sent = &mut send => {
            sent?;
            answer.await
        }
    };
    outcome.map_err(|status| Problem::of_status(&status))
}

async fn send(
    exchange: &Exchange<'_>,
    found: &Found<'_, '_>,
    mut body: Incoming,
    outgoing: Outgoing,
) -> Result<(), Problem> {
    let limits = exchange.gateway.policies.limits();
    let mut sender = Sender {
        exchange,
        found,
        encoder: match exchange.gateway.ignore_unknown_fields {
            true => Encoder::lenient(),
            false => Encoder::default(),
        },
        outgoing,
        framed: Vec::new(),
        lines: (!found.binding().takes_raw_body()).then(|| Lines::new(limits.message_bytes)),
        is_open: true,
    };
    let mut is_empty = true;
    while sender.is_open {
        let frame = timeout(limits.body_timeout, body.frame()).await;
        let Some(frame) = frame.map_err(|_| body::too_slow())? else {
            break;
        };
        let Ok(chunk) = frame.map_err(|_| body::incomplete())?.into_data() else {
            continue; // Trailers.
        };
        is_empty = false;
        sender.chunk(&chunk).await?;
    }
    sender.finish(is_empty).await
}

/// Makes messages of what comes and sends them as the upstream takes them.
struct Sender<'s, 'r> {
    exchange: &'s Exchange<'r>,
    found: &'s Found<'s, 's>,
    encoder: Encoder,
    outgoing: Outgoing,
    /// Messages that wait to be sent together: many small ones would be many small frames of HTTP/2, which services take for an
    /// attack.
    framed: Vec<u8>,
    /// Where each line is a message; else each chunk is one.
    lines: Option<Lines>,
    /// Whether the upstream takes more; where it does not, its answer says why.
    is_open: bool,
}

impl Sender<'_, '_> {
    async fn chunk(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        match &mut self.lines {
            None => self.message(chunk)?,
            Some(lines) => {
                lines.push(chunk);
                while let Some(line) = self.line()? {
                    self.message(&line)?;
                    if self.framed.len() >= BATCH_BYTES {
                        self.flush().await;
                    }
                }
            }
        }
        self.flush().await;
        Ok(())
    }

    fn line(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(lines) = &mut self.lines else {
            return Ok(None);
        };
        lines.next().map_err(|TooLong| {
            let detail = format!("line {} is too long for a message", lines.number() + 1);
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
        })
    }

    /// Path and query may say something without a body, but no line is no message.
    async fn finish(mut self, is_empty: bool) -> Result<(), Problem> {
        match &mut self.lines {
            None if is_empty => self.message(&[])?,
            None => {}
            Some(lines) => {
                if let Some(line) = lines.rest() {
                    self.message(&line)?;
                }
            }
        }
        self.flush().await;
        if self.is_open {
            // Fails where the upstream takes no more: its answer says why.
            let _ = self.outgoing.finish();
        }
        Ok(())
    }

    async fn flush(&mut self) {
        if self.is_open && !self.framed.is_empty() {
            let framed = mem::take(&mut self.framed);
            self.is_open = self.outgoing.send(framed.into()).await.is_ok();
        }
    }

    /// Adds a message to those that wait.
    fn message(&mut self, body: &[u8]) -> Result<(), Problem> {
        let head = self.exchange.head;
        let fields = rest::header_fields(self.found, &head.headers)?;
        let content_type = headers::text(&head.headers, &http::header::CONTENT_TYPE);
        let input = Input {
            query: head.uri.query().unwrap_or_default(),
            body,
            content_type: content_type.unwrap_or_default(),
            headers: &fields,
        };
        let start = self.framed.len();
        self.framed.reserve(body.len() + 64);
        self.framed.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        let encoded = self
            .found
            .encode(&mut self.encoder, &input, &mut self.framed);
        encoded.map_err(|error| {
            let problem = Problem::of_input(&error);
            match &self.lines {
                Some(lines) => problem.in_line(lines.number()),
                None => problem,
            }
        })?;
        frame(&mut self.framed[start..]);
        Ok(())
    }
}

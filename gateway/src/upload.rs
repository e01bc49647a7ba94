//! A body that goes on as it comes: rpcs that take a stream of `google.api.HttpBody` and answer with one message.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;
use transcode::{Encoder, Found, Input};

use crate::{
    body,
    exchange::Exchange,
    headers,
    problem::Problem,
    rest,
    upstream::{Outgoing, Reply, frame, open_frame},
};

/// Sends each chunk of the body as a message, no faster than the upstream takes them, and waits for its answer.
///
/// # Errors
/// The body breaks off or stands still, or the call fails; that may be before the body's end.
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
    mut outgoing: Outgoing,
) -> Result<(), Problem> {
    let longest = exchange.gateway.policies.limits().body_timeout;
    let mut encoder = Encoder::default();
    let mut is_first = true;
    loop {
        let frame = timeout(longest, body.frame());
        let mut is_last = false;
        let chunk = match frame.await.map_err(|_| body::too_slow())? {
            Some(frame) => match frame.map_err(|_| body::incomplete())?.into_data() {
                Ok(chunk) => chunk,
                Err(_) => continue, // Trailers.
            },
            // Path and query may say something without a body.
            None if is_first => {
                is_last = true;
                Bytes::new()
            }
            None => break,
        };
        is_first = false;
        let message = encoded(exchange, found, &mut encoder, &chunk)?;
        if outgoing.send(message).await.is_err() {
            // The upstream takes no more: its answer says why.
            return Ok(());
        }
        if is_last {
            break;
        }
    }
    // The same.
    let _ = outgoing.finish();
    Ok(())
}

fn encoded(
    exchange: &Exchange<'_>,
    found: &Found<'_, '_>,
    encoder: &mut Encoder,
    chunk: &[u8],
) -> Result<Bytes, Problem> {
    let head = exchange.head;
    let fields = rest::header_fields(found, &head.headers)?;
    let content_type = headers::text(&head.headers, &http::header::CONTENT_TYPE);
    let input = Input {
        query: head.uri.query().unwrap_or_default(),
        body: chunk,
        content_type: content_type.unwrap_or_default(),
        headers: &fields,
    };
    let mut framed = Vec::with_capacity(chunk.len() + 64);
    open_frame(&mut framed);
    found
        .encode(encoder, &input, &mut framed)
        .map_err(|error| Problem::of_input(&error))?;
    frame(&mut framed);
    Ok(framed.into())
}

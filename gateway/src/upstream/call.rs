//! The two directions of a call.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use h2::{RecvStream, SendStream, client::ResponseFuture};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use tonic::Code;

use super::{
    connection::{Failure, Load},
    health::Health,
    messages::Messages,
};
use crate::status::Status;

/// What is sent. Dropping it before [`Outgoing::finish`] breaks the call off once its answer is dropped too.
#[derive(Debug)]
pub(crate) struct Outgoing(SendStream<Bytes>);

impl Outgoing {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Self(stream)
    }

    /// Sends all there is, without waiting: for what was already bounded when it came in.
    pub(super) fn send_all(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.0.send_data(bytes, true).map_err(Failure::of_stream)
    }

    /// Sends some bytes as the upstream takes them.
    ///
    /// # Errors
    /// The upstream takes no more; its answer says why.
    pub(crate) async fn send(&mut self, mut bytes: Bytes) -> Result<(), h2::Error> {
        while bytes.has_remaining() {
            self.0.reserve_capacity(bytes.len());
            let room = match poll_fn(|context| self.0.poll_capacity(context)).await {
                Some(room) => room?,
                None => return Err(h2::Reason::CANCEL.into()),
            };
            self.0
                .send_data(bytes.split_to(room.min(bytes.len())), false)?;
        }
        Ok(())
    }

    /// Says that nothing follows.
    pub(crate) fn finish(&mut self) -> Result<(), h2::Error> {
        self.0.send_data(Bytes::new(), true)
    }

    /// Breaks the call off.
    pub(crate) fn cancel(&mut self) {
        self.0.send_reset(h2::Reason::CANCEL);
    }
}

/// An answer that has not begun yet.
#[derive(Debug)]
pub(crate) struct Reply {
    response: ResponseFuture,
    load: Load,
    /// Hears how the answer begins, where that is not looked at anyway.
    health: Option<Arc<Health>>,
}

impl Reply {
    pub(super) fn new(response: ResponseFuture, load: Load) -> Self {
        Self {
            response,
            load,
            health: None,
        }
    }

    pub(super) fn told_to(self, health: &Arc<Health>) -> Self {
        let health = Some(health.clone());
        Self { health, ..self }
    }

    /// Waits for the answer's headers.
    pub(super) async fn begun(self) -> Result<Response<Receiving>, Failure> {
        let response = self.response.await.map_err(Failure::of_stream)?;
        Ok(response.map(|stream| Receiving {
            stream,
            has_data: true,
            _load: self.load,
        }))
    }

    /// The answer as it comes, for whoever gives it on.
    pub(crate) async fn response(mut self) -> Result<Response<Receiving>, Status> {
        let health = self.health.take();
        let response = self.begun().await.map_err(|failure| failure.status())?;
        if let Some(health) = health {
            match Status::read(response.headers()) {
                Some(status) if status.code == Code::Unavailable => health.unavailable(),
                _ => health.answered(),
            }
        }
        Ok(response)
    }

    /// The answer's messages.
    pub(crate) async fn messages(self) -> Result<Messages, Status> {
        Messages::of(self.response().await?)
    }
}

/// The body of an answer. Room for more is made when something is taken, so a slow reader holds the upstream back.
#[derive(Debug)]
pub(crate) struct Receiving {
    stream: RecvStream,
    has_data: bool,
    _load: Load,
}

impl Receiving {
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, h2::Error>>> {
        if !self.has_data {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.stream.poll_data(context)) {
            Some(Ok(bytes)) => {
                // Fails only where the stream has ended meanwhile.
                let _ = self.stream.flow_control().release_capacity(bytes.len());
                Some(Ok(bytes))
            }
            Some(Err(error)) => Some(Err(error)),
            None => {
                self.has_data = false;
                None
            }
        })
    }

    /// The next bytes; `None` where only trailers may follow.
    pub(super) async fn bytes(&mut self) -> Option<Result<Bytes, h2::Error>> {
        poll_fn(|context| self.poll_bytes(context)).await
    }

    /// What follows the last bytes.
    pub(super) async fn trailers(&mut self) -> Result<Option<HeaderMap>, h2::Error> {
        poll_fn(|context| self.stream.poll_trailers(context)).await
    }
}

impl Body for Receiving {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(bytes) = ready!(self.poll_bytes(context)) {
            return Poll::Ready(Some(bytes.map(Frame::data)));
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        Poll::Ready(
            trailers
                .map(|trailers| trailers.map(Frame::trailers))
                .transpose(),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

//! A message body that keeps a call's rules after its headers were sent: deadline, drain, ids and metrics.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Status, body::Body};
use tracing::Span;

use crate::{
    client,
    context::{self, Context},
};

/// What ends a body before its own end.
type Cut = Pin<Box<dyn Future<Output = Status> + Send>>;

/// What sees the outcome of a call.
type Watcher = Box<dyn FnOnce(Code) + Send>;

/// Wraps a body; see the methods.
pub(crate) struct Guarded {
    inner: Body,
    scope: Option<(Span, Context)>,
    cuts: Vec<Cut>,
    /// Whether a cut becomes trailers (server) or an error (client).
    answers: bool,
    watcher: Option<Watcher>,
    upstream: Option<Arc<str>>,
    ended: bool,
}

impl Guarded {
    /// The body of an answer that this process gives: a cut becomes its trailers.
    pub(crate) fn answer(inner: Body) -> Self {
        Self {
            inner,
            scope: None,
            cuts: Vec::new(),
            answers: true,
            watcher: None,
            upstream: None,
            ended: false,
        }
    }

    /// The body of an answer that this process gets: a cut becomes an error.
    pub(crate) fn received(inner: Body) -> Self {
        let mut body = Self::answer(inner);
        body.answers = false;
        body
    }

    /// Polls the body within a span and a context: streams do their work while they are read.
    pub(crate) fn within(mut self, span: Span, context: Context) -> Self {
        self.scope = Some((span, context));
        self
    }

    /// Ends the body with DEADLINE_EXCEEDED.
    pub(crate) fn until(mut self, deadline: Option<Instant>) -> Self {
        if let Some(deadline) = deadline {
            let sleep: Sleep = sleep_until(deadline);
            self.cuts.push(Box::pin(async move {
                sleep.await;
                deadline_exceeded()
            }));
        }
        self
    }

    /// Ends the body with UNAVAILABLE once the service drains; clients come again elsewhere.
    pub(crate) fn unless(mut self, closing: WaitForCancellationFutureOwned) -> Self {
        self.cuts.push(Box::pin(async move {
            closing.await;
            Status::unavailable("the service is going away")
        }));
        self
    }

    /// Tells the outcome once: the trailers' code, or CANCELLED where nobody read to the end.
    pub(crate) fn watched(mut self, watcher: impl FnOnce(Code) + Send + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        self
    }

    /// Takes an error of the transport for what it is: the other side went away.
    pub(crate) fn lost_is_unavailable(mut self, upstream: Arc<str>) -> Self {
        self.upstream = Some(upstream);
        self
    }

    /// As tonic's type.
    pub(crate) fn boxed(self) -> Body {
        Body::new(self)
    }

    fn tell(&mut self, code: Code) {
        if let Some(watcher) = self.watcher.take() {
            let _span = self.scope.as_ref().map(|(span, _)| span.enter());
            watcher(code);
        }
    }

    fn poll_inner(
        &mut self,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let inner = Pin::new(&mut self.inner);
        match &self.scope {
            Some((span, context)) => {
                let _span = span.enter();
                context::sync_scope(context.clone(), || http_body::Body::poll_frame(inner, cx))
            }
            None => http_body::Body::poll_frame(inner, cx),
        }
    }
}

/// The answer to a call that took too long.
pub(crate) fn deadline_exceeded() -> Status {
    Status::deadline_exceeded("the deadline of the call is over")
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(mut frame) = this.poll_inner(cx) {
            if let (Some(Err(status)), Some(upstream)) = (&mut frame, &this.upstream) {
                *status = client::unavailable(upstream, status);
            }
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(trailers) = frame.trailers_ref() {
                        this.tell(code(trailers));
                    }
                }
                Some(Err(status)) => this.tell(status.code()),
                None => this.tell(Code::Ok),
            }
            return Poll::Ready(frame);
        }
        for cut in &mut this.cuts {
            if let Poll::Ready(status) = cut.as_mut().poll(cx) {
                this.ended = true;
                // What streams is dropped now, not when the connection is read on.
                this.inner = Body::empty();
                this.tell(status.code());
                if !this.answers {
                    return Poll::Ready(Some(Err(status)));
                }
                let mut trailers = HeaderMap::new();
                return Poll::Ready(Some(
                    status
                        .add_header(&mut trailers)
                        .map(|()| Frame::trailers(trailers)),
                ));
            }
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let code = if http_body::Body::is_end_stream(&self.inner) {
            Code::Ok
        } else {
            Code::Cancelled
        };
        self.tell(code);
    }
}

/// The code that trailers, or the headers of an answer without a body, say.
pub(crate) fn code(headers: &HeaderMap) -> Code {
    headers
        .get(Status::GRPC_STATUS)
        .map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http_body_util::BodyExt as _;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A body that never has anything to say.
    fn silent() -> Body {
        Body::new(http_body_util::StreamBody::new(tokio_stream::pending::<
            Result<Frame<Bytes>, Status>,
        >()))
    }

    async fn trailers(mut body: Guarded) -> HeaderMap {
        body.frame()
            .await
            .expect("a frame")
            .expect("no error")
            .into_trailers()
            .expect("trailers")
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_a_silent_stream() {
        let deadline = Instant::now() + std::time::Duration::from_secs(3);
        assert_eq!(
            code(&trailers(Guarded::answer(silent()).until(Some(deadline))).await),
            Code::DeadlineExceeded
        );
        let mut received = Guarded::received(silent()).until(Some(deadline));
        assert_eq!(
            received.frame().await.unwrap().unwrap_err().code(),
            Code::DeadlineExceeded
        );
        assert!(received.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_drain_ends_a_silent_stream() {
        let closing = CancellationToken::new();
        closing.cancel();
        let body = Guarded::answer(silent()).unless(closing.cancelled_owned());
        assert_eq!(code(&trailers(body).await), Code::Unavailable);
    }

    #[tokio::test]
    async fn the_outcome_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let watch = |body: Guarded| {
            let told = told.clone();
            body.watched(move |code| told.lock().unwrap().push(code))
        };
        drop(watch(Guarded::answer(silent())));
        drop(watch(Guarded::answer(Body::empty())));
        let mut trailers = HeaderMap::new();
        Status::not_found("").add_header(&mut trailers).unwrap();
        let frames = tokio_stream::iter([Ok::<_, Status>(Frame::trailers(trailers))]);
        let _ = watch(Guarded::answer(Body::new(http_body_util::StreamBody::new(
            frames,
        ))))
        .collect()
        .await;
        assert_eq!(
            *told.lock().unwrap(),
            [Code::Cancelled, Code::Ok, Code::NotFound]
        );
    }
}

//! What the gateway answers with.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};

/// An answer on its way to the client.
pub type Answer = Response<Body>;

/// Why a body ends before its end; the connection or stream is then broken off, so that nobody takes it for whole.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// A body that comes bit by bit.
pub type Flow = Pin<Box<dyn http_body::Body<Data = Bytes, Error = Broken> + Send>>;

/// The body of an answer.
pub enum Body {
    /// All of it; sent as one frame.
    Whole(Bytes),
    /// A stream: each frame is sent at once, and none is asked for before the client took the last.
    Flow(Flow),
}

impl Body {
    /// A body that comes bit by bit.
    pub fn flow(body: impl http_body::Body<Data = Bytes, Error = Broken> + Send + 'static) -> Self {
        Self::Flow(Box::pin(body))
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Self::Flow(_) => f.debug_tuple("Flow").finish_non_exhaustive(),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Flow(flow) => flow.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Flow(flow) => flow.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Flow(flow) => flow.size_hint(),
        }
    }
}

/// An answer of JSON.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = Response::new(Body::Whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    answer
}

/// A HEAD answer says how long the body would be.
pub(crate) fn without_body(answer: Answer) -> Answer {
    let length = answer.body().size_hint().exact();
    let (mut head, _) = answer.into_parts();
    if let Some(length) = length {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Body::default())
}

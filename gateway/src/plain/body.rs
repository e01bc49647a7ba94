//! Bodies of requests and answers on their way: piece by piece, at the pace of the slower side.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::{
    answer::Broken,
    body::{incomplete, too_slow},
    gateway::Place,
    metrics::OpenStream,
    problem::Problem,
    upstream::Kept,
};

/// The body of a request as the upstream takes it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// `None` for a body without bytes.
    body: Option<Incoming>,
    /// Bytes that may still come.
    left: u64,
    /// Longest time between two pieces.
    longest_pause: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

/// How far the body of a request has come.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When something went out.
    last: Instant,
    /// Whether the client is to send more now.
    is_client_asked: bool,
    /// What is wrong with it.
    fault: Option<Problem>,
}

impl Progress {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the client did wrong, where that is why a request ended.
    pub(super) fn fault(&self) -> Option<Problem> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.fault.take()
    }

    /// Ends when the upstream has been waited for so long since something went out. The time that the client takes does not count.
    pub(super) async fn stands_still(&self, longest: Duration) {
        loop {
            let (until, is_client_asked) = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                (state.last + longest, state.is_client_asked)
            };
            match (until <= Instant::now(), is_client_asked) {
                (true, false) => return,
                (true, true) => sleep(longest).await,
                (false, _) => sleep_until(until).await,
            }
        }
    }
}

impl Sent {
    /// A body of at most `max_bytes`, of which something comes at least every `longest_pause`.
    ///
    /// # Errors
    /// It says that it is larger.
    pub(super) fn new(
        body: Incoming,
        max_bytes: usize,
        longest_pause: Duration,
    ) -> Result<(Self, Arc<Progress>), Problem> {
        if body.size_hint().lower() > max_bytes as u64 {
            return Err(too_large());
        }
        let progress = Arc::new(Progress(Mutex::new(State {
            last: Instant::now(),
            is_client_asked: false,
            fault: None,
        })));
        let sent = Self {
            body: (!body.is_end_stream()).then_some(body),
            left: max_bytes as u64,
            longest_pause,
            pause: None,
            progress: progress.clone(),
        };
        Ok((sent, progress))
    }

    /// Another body of nothing.
    pub(crate) fn nothing(&self) -> Option<Self> {
        self.body.is_none().then(|| Self {
            body: None,
            left: self.left,
            longest_pause: self.longest_pause,
            pause: None,
            progress: self.progress.clone(),
        })
    }

    fn fail(&mut self, problem: Problem) -> Broken {
        let text = problem.detail().to_owned();
        self.progress.change(|state| state.fault = Some(problem));
        self.body = None;
        text.into()
    }

    fn poll_pause(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let longest = self.longest_pause;
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(longest)));
        pause.as_mut().poll(context)
    }
}

fn too_large() -> Problem {
    let detail = "the body is larger than this path takes";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail)
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(context) else {
            this.progress.change(|state| state.is_client_asked = true);
            return match this.poll_pause(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(this.fail(too_slow())))),
                Poll::Pending => Poll::Pending,
            };
        };
        this.pause = None;
        this.progress.change(|state| {
            state.last = Instant::now();
            state.is_client_asked = false;
        });
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                match this.left.checked_sub(length) {
                    Some(left) => {
                        this.left = left;
                        Some(Ok(frame))
                    }
                    None => Some(Err(this.fail(too_large()))),
                }
            }
            Some(Err(_)) => Some(Err(this.fail(incomplete()))),
            None => {
                this.body = None;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// The body of an answer as the client takes it.
pub(super) struct Passed {
    body: Incoming,
    /// The connection that it comes over.
    kept: Option<Kept>,
    /// Why it ends before its end.
    broken: Option<Broken>,
    _place: Place,
    _open: OpenStream,
}

impl Passed {
    pub(super) fn new(body: Incoming, kept: Option<Kept>, place: Place) -> Self {
        let mut passed = Self {
            body,
            kept,
            broken: None,
            _place: place,
            _open: OpenStream::new(),
        };
        passed.free();
        passed
    }

    /// Gives the connection back at the end.
    fn free(&mut self) {
        if self.body.is_end_stream()
            && let Some(kept) = self.kept.take()
        {
            kept.free();
        }
    }
}

impl Body for Passed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(broken) = self.broken.take() {
            return Poll::Ready(Some(Err(broken)));
        }
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => {
                self.free();
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.kept = None;
                self.broken = Some(error.into());
                // What came before goes out first: with the error the connection drops what it has not sent.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {
                if let Some(kept) = self.kept.take() {
                    kept.free();
                }
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

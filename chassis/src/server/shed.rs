//! Turns calls away early where an rpc has more of them than it gets done in time.
//!
//! A call is looked at when its headers are there, and counted when its message is: who opens calls and sends nothing takes no
//! place from others.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, LazyLock, OnceLock, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use opentelemetry::{KeyValue, metrics::Counter};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};

use super::{
    answer,
    limiter::{Bounds, Limiter, Place},
};
use crate::{
    methods::{self, Method},
    status, telemetry,
};

/// When a caller that was turned away may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Operators get in when nobody else does.
const OPERATORS: &str = "/caravan.ops.v1.OpsService/";

static SHED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    telemetry::meter()
        .u64_counter("caravan_calls_shed")
        .with_description("Calls that were turned away because their rpc is overloaded")
        .build()
});

/// One limiter for each rpc, by its path. Streams have none: how long they take says nothing, and they have limits of their own.
type Limiters = HashMap<&'static str, Arc<Limiter>>;

/// The layer.
#[derive(Clone, Debug)]
pub(super) struct ShedLayer {
    limiters: Arc<Limiters>,
}

impl ShedLayer {
    pub(super) fn new(bounds: Bounds) -> Self {
        let limiters: Limiters = methods::all()
            .filter(|method| !method.streams && !method.path.starts_with(OPERATORS))
            .map(|method| (method.path, Arc::new(Limiter::new(bounds))))
            .collect();
        let limiters = Arc::new(limiters);
        show(Arc::downgrade(&limiters), bounds);
        Self { limiters }
    }
}

/// Shows the limits that are lower than they could be as a metric.
fn show(limiters: Weak<Limiters>, bounds: Bounds) {
    // The meter keeps the callback by itself.
    let _ = telemetry::meter()
        .u64_observable_gauge("caravan_call_limit")
        .with_description("Calls of an rpc that may run at once, where it is overloaded")
        .with_callback(move |gauge| {
            let limiters = limiters.upgrade();
            for (path, limiter) in limiters.iter().flat_map(|limiters| limiters.iter()) {
                let limit = limiter.limit();
                if limit < bounds.ceiling {
                    gauge.observe(limit as u64, &[KeyValue::new("method", *path)]);
                }
            }
        })
        .build();
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed {
            inner,
            limiters: self.limiters.clone(),
        }
    }
}

/// What the layer makes of a service.
#[derive(Clone, Debug)]
pub(super) struct Shed<S> {
    inner: S,
    limiters: Arc<Limiters>,
}

impl<S> Service<Request> for Shed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Unpin,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Shedding<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Some(limiter) = self.limiters.get(request.uri().path()) else {
            return Shedding::Taken(self.inner.call(request), None);
        };
        let Some(method) = methods::get(request.uri().path()) else {
            return Shedding::Taken(self.inner.call(request), None);
        };
        let waits = waits(method, request.headers());
        if !limiter.has_room(waits) {
            return Shedding::TurnedAway(Some(answer(&turn_away(method.path))));
        }
        let place = Arc::default();
        let counted = |body| Counted {
            body,
            path: method.path,
            limiter: limiter.clone(),
            waits,
            place: Arc::clone(&place),
        };
        let request = request.map(|body| Body::new(counted(body)));
        Shedding::Taken(self.inner.call(request), Some(place))
    }
}

/// A request's body that counts its call when it has been read.
#[derive(Debug)]
struct Counted {
    body: Body,
    path: &'static str,
    limiter: Arc<Limiter>,
    waits: bool,
    place: Arc<OnceLock<Place>>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_some() || self.place.get().is_some() {
            return Poll::Ready(frame);
        }
        match self.limiter.enter(self.waits) {
            Some(place) => {
                let _ = self.place.set(place);
                Poll::Ready(None)
            }
            // tonic answers with the status that it finds in an error.
            None => Poll::Ready(Some(Err(axum::Error::new(turn_away(self.path))))),
        }
    }

    /// Never: the end is where the call is counted.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether a call waits for an outcome (`Prefer: wait=N`), as long as it says.
fn waits(method: &Method, headers: &HeaderMap) -> bool {
    method.policy.rest.prefer_wait
        && headers
            .get("prefer")
            .and_then(|prefer| prefer.to_str().ok())
            .is_some_and(|prefer| prefer.contains("wait="))
}

/// Counts a refusal, and says what it is.
fn turn_away(path: &'static str) -> Status {
    SHED.add(1, &[KeyValue::new("method", path)]);
    let mut details = ErrorDetails::with_error_info("OVERLOADED", status::domain(), HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(
        Code::ResourceExhausted,
        "There is more to do than can be done in time. Try again in a moment.",
        details,
    )
}

/// The future of a call that is taken, or was turned away.
#[derive(Debug)]
pub(super) enum Shedding<F> {
    /// Its place is empty until its message is there.
    Taken(F, Option<Arc<OnceLock<Place>>>),
    TurnedAway(Option<Response>),
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Shedding<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Taken(call, place) => {
                let Ok(response) = ready!(Pin::new(call).poll(context));
                // A refusal is nothing but headers.
                let went_well = !response.headers().contains_key(Status::GRPC_STATUS);
                if let Some(place) = place.take().as_ref().and_then(|place| place.get())
                    && went_well
                {
                    place.went_well();
                }
                Poll::Ready(Ok(response))
            }
            Self::TurnedAway(response) => Poll::Ready(Ok(response.take().unwrap_or_default())),
        }
    }
}

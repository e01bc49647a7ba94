//! Turns calls away early where an rpc has more of them than it gets done in time.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, LazyLock, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use http::HeaderMap;
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
        let method = methods::get(request.uri().path());
        let place = match method.is_some_and(|method| waits(method, request.headers())) {
            true => limiter.enter_waiting(),
            false => limiter.enter(),
        };
        match place {
            Some(place) => Shedding::Taken(self.inner.call(request), Some(place)),
            None => {
                let path = method.map_or("", |method| method.path);
                SHED.add(1, &[KeyValue::new("method", path)]);
                Shedding::TurnedAway(Some(answer(&overloaded())))
            }
        }
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

fn overloaded() -> Status {
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
    Taken(F, Option<Place>),
    TurnedAway(Option<Response>),
}

impl<F: Future<Output = Result<Response, Infallible>> + Unpin> Future for Shedding<F> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Taken(call, place) => {
                let Ok(response) = ready!(Pin::new(call).poll(context));
                if let Some(mut place) = place.take() {
                    // A refusal is nothing but headers.
                    if !response.headers().contains_key(Status::GRPC_STATUS) {
                        place.went_well();
                    }
                }
                Poll::Ready(Ok(response))
            }
            Self::TurnedAway(response) => Poll::Ready(Ok(response.take().unwrap_or_default())),
        }
    }
}

//! A connection to one service that adds what every call of the mesh carries.

use std::{
    error::Error,
    iter::successors,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::ExposeSecret as _;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status, body::Body};
use tower::{Service, ServiceExt as _};

use crate::{
    auth::service_token::ServiceToken,
    body::{self, Guarded, deadline_exceeded},
    context::{self, Context},
    methods,
    server::{REQUEST_ID, TRACEPARENT, deadline as timeout},
    telemetry,
};

/// Time that a call may take where neither it nor the request at hand says.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls one service: `CatalogServiceClient::new(channel)`. Cheap to clone.
///
/// Each call carries this service's token, the request's ids and what is left of its deadline. A service that cannot be
/// reached, or that goes away in the middle of a call, is UNAVAILABLE.
#[derive(Clone)]
pub struct Channel {
    upstream: Arc<str>,
    connection: tonic::transport::Channel,
    credential: Credential,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Channel")
            .field(&self.upstream)
            .finish()
    }
}

#[derive(Clone)]
enum Credential {
    None,
    Service(Arc<ServiceToken>),
    User,
}

impl Channel {
    pub(crate) fn new(
        upstream: &str,
        connection: tonic::transport::Channel,
        token: Option<Arc<ServiceToken>>,
    ) -> Self {
        let credential = token.map_or(Credential::None, Credential::Service);
        Self {
            upstream: upstream.into(),
            connection,
            credential,
        }
    }

    /// The same channel, calling in the name of the person who asked instead of this service's.
    #[must_use]
    pub fn as_user(&self) -> Self {
        Self {
            credential: Credential::User,
            ..self.clone()
        }
    }

    /// The `authorization` of a call, where it has one.
    async fn authorization(
        &self,
        context: Option<&Context>,
    ) -> Result<Option<HeaderValue>, Status> {
        match &self.credential {
            Credential::None => Ok(None),
            Credential::Service(token) => token.header().await.map(Some),
            Credential::User => Ok(context
                .and_then(|context| context.user_token.as_ref())
                .and_then(|token| {
                    let mut value =
                        HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).ok()?;
                    value.set_sensitive(true);
                    Some(value)
                })),
        }
    }

    async fn send(
        mut self,
        mut request: http::Request<Body>,
        traceparent: Option<String>,
    ) -> Result<http::Response<Body>, Status> {
        let context = context::current();
        let deadline = deadline(request.uri().path(), request.headers(), context.as_ref());
        let call = async {
            let own = request.headers().contains_key(AUTHORIZATION);
            let authorization = if own {
                None
            } else {
                self.authorization(context.as_ref()).await?
            };
            let headers = request.headers_mut();
            if let Some(value) = &authorization {
                headers.insert(AUTHORIZATION, value.clone());
            }
            if let Some(value) = traceparent.and_then(|value| value.parse().ok()) {
                headers.insert(TRACEPARENT, value);
            }
            if let Some(value) = context.and_then(|context| context.request_id.parse().ok()) {
                headers.entry(REQUEST_ID).or_insert(value);
            }
            if let Some(deadline) = deadline {
                timeout::write(deadline.saturating_duration_since(Instant::now()), headers);
            }
            let ready = self
                .connection
                .ready()
                .await
                .map_err(|error| unavailable(&self.upstream, &error))?;
            let response = ready
                .call(request)
                .await
                .map_err(|error| unavailable(&self.upstream, &error))?;
            if let (Credential::Service(token), Some(sent)) = (&self.credential, &authorization)
                && response.headers().contains_key(Status::GRPC_STATUS)
                && body::code(response.headers()) == Code::Unauthenticated
            {
                token.refused(sent);
            }
            Ok(response)
        };
        let response = match deadline {
            Some(deadline) => timeout_at(deadline, call)
                .await
                .unwrap_or_else(|_| Err(deadline_exceeded()))?,
            None => call.await?,
        };
        Ok(response.map(|body| {
            Guarded::received(body)
                .until(deadline)
                .lost_is_unavailable(self.upstream)
                .boxed()
        }))
    }
}

/// When the caller stops waiting: the earlier of what the call itself and the request at hand say. A stream may stay
/// open where neither says.
fn deadline(path: &str, headers: &HeaderMap, context: Option<&Context>) -> Option<Instant> {
    let own = timeout::read(headers).and_then(|timeout| Instant::now().checked_add(timeout));
    let inherited = context.and_then(|context| context.deadline);
    match (own, inherited) {
        (Some(own), Some(inherited)) => Some(own.min(inherited)),
        (Some(deadline), None) | (None, Some(deadline)) => Some(deadline),
        (None, None) if methods::get(path).is_some_and(|method| method.streams) => None,
        (None, None) => Some(Instant::now() + DEFAULT_TIMEOUT),
    }
}

/// What a failure below gRPC means to the caller. The cause is for the log.
pub(crate) fn unavailable(upstream: &str, error: &(dyn Error + 'static)) -> Status {
    // tonic's own timer reads the same header as ours; whichever is first means the same.
    if successors(Some(error), |&error| error.source())
        .any(|error| error.is::<tonic::TimeoutExpired>())
    {
        return deadline_exceeded();
    }
    tracing::debug!(upstream, error, "no connection");
    Status::unavailable(format!("{upstream} cannot be reached"))
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Status>>;

    /// Always ready: a connection that is not there is the failure of the call, with a code.
    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.clone().send(request, telemetry::traceparent()).boxed()
    }
}

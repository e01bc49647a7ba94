//! Registers a service's saga definitions at the orchestrator when the service starts.
//!
//! ```ignore
//! let sagas = SagaDefinitions::new(kit.channel("saga")?, &[("checkout", include_str!("../sagas/checkout.yaml"))]);
//! kit.grpc(server)
//!     .ready_when("sagas", sagas.check())
//!     .task("saga definitions", |stop| sagas.register(stop))
//! ```

use std::{
    future::{Ready, ready},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use contracts::caravan::saga::v1::{
    RegisterDefinitionRequest, register_definition_request::Content,
    saga_service_client::SagaServiceClient,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::client::Channel;

/// Waits between two tries: first and longest. The first is short, since services of a mesh start together.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Definitions and whether the orchestrator has taken them.
pub struct SagaDefinitions {
    client: SagaServiceClient<Channel>,
    sources: &'static [(&'static str, &'static str)],
    /// What is still missing; `None` once all are taken.
    missing: Arc<Mutex<Option<String>>>,
}

impl SagaDefinitions {
    /// Definitions as (name, YAML or JSON); `saga` is a channel to the orchestrator.
    pub fn new(saga: Channel, sources: &'static [(&'static str, &'static str)]) -> Self {
        let missing = (!sources.is_empty()).then(|| "not registered yet".to_owned());
        Self {
            client: SagaServiceClient::new(saga),
            sources,
            missing: Arc::new(Mutex::new(missing)),
        }
    }

    /// For readiness: fails until all are registered, and says why.
    pub fn check(&self) -> impl Fn() -> Ready<Result<(), String>> + Send + Sync + use<> {
        let missing = Arc::clone(&self.missing);
        move || {
            ready(
                missing
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
                    .map_or(Ok(()), Err),
            )
        }
    }

    /// Registers each, again and again until the orchestrator takes it. A definition that is refused is tried on too: an
    /// older orchestrator may not know a newer contract yet.
    ///
    /// # Errors
    /// None; the signature is that of a service's task.
    pub async fn register(self, stop: CancellationToken) -> anyhow::Result<()> {
        for (name, source) in self.sources {
            let mut wait = BACKOFF.0;
            while let Err(status) = self.register_one(source).await {
                self.explain(name, &status);
                if stop
                    .run_until_cancelled(tokio::time::sleep(wait))
                    .await
                    .is_none()
                {
                    return Ok(());
                }
                wait = (wait * 2).min(BACKOFF.1);
            }
        }
        self.set(None);
        Ok(())
    }

    async fn register_one(&self, source: &str) -> Result<(), Status> {
        let content = Some(Content::Source(source.to_owned()));
        let mut request = tonic::Request::new(RegisterDefinitionRequest { content });
        request.set_timeout(TIMEOUT);
        let registered = self
            .client
            .clone()
            .register_definition(request)
            .await?
            .into_inner();
        tracing::info!(
            definition = registered.name,
            version = registered.version,
            "saga definition registered"
        );
        Ok(())
    }

    fn explain(&self, name: &str, status: &Status) {
        let text = match status.code() {
            Code::InvalidArgument => {
                tracing::error!(
                    definition = name,
                    text = status.message(),
                    "saga definition refused"
                );
                format!("`{name}` is refused: {}", status.message())
            }
            code => {
                tracing::debug!(
                    definition = name,
                    ?code,
                    text = status.message(),
                    "saga definition not registered yet"
                );
                format!("`{name}` is not registered yet")
            }
        };
        self.set(Some(text));
    }

    fn set(&self, missing: Option<String>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use prost::Message as _;

    use super::*;
    use crate::{client::Clients, testing::grpc_double};

    #[tokio::test]
    async fn each_is_tried_until_it_is_taken_and_readiness_says_so() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let url = grpc_double(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Status::unavailable("not up yet")),
            1 => Err(Status::invalid_argument("an older contract")),
            _ => Ok(
                contracts::caravan::saga::v1::RegisterDefinitionResponse::default().encode_to_vec(),
            ),
        })
        .await;
        let upstreams = format!("saga={url}").parse().expect("a URL");
        let channel = Clients::new(upstreams, None)
            .channel("saga", None)
            .expect("configured");
        let sagas = SagaDefinitions::new(channel, &[("one", "name: one"), ("two", "name: two")]);
        let check = sagas.check();
        assert_eq!(check().await, Err("not registered yet".to_owned()));
        sagas
            .register(CancellationToken::new())
            .await
            .expect("ends");
        assert_eq!(check().await, Ok(()));
        assert_eq!(
            calls.load(Ordering::SeqCst),
            4,
            "two for the first's failures, one for each"
        );
    }

    #[tokio::test]
    async fn a_drain_ends_the_tries() {
        let url = grpc_double(|_| Err(Status::unavailable("never"))).await;
        let upstreams = format!("saga={url}").parse().expect("a URL");
        let channel = Clients::new(upstreams, None)
            .channel("saga", None)
            .expect("configured");
        let sagas = SagaDefinitions::new(channel, &[("one", "name: one")]);
        let check = sagas.check();
        let stop = CancellationToken::new();
        stop.cancel();
        sagas.register(stop).await.expect("ends");
        assert!(check().await.is_err());
    }
}

//! The rpcs: each method delegates to its file.

use std::sync::Arc;

use contracts::caravan::saga::v1::{self as pb, saga_service_server::SagaService};
use futures::stream::BoxStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

use crate::engine::Engine;

mod cancel_saga;
mod convert;
mod get_definition;
mod get_saga;
mod list_definitions;
mod list_sagas;
mod register_definition;
mod resolve_step;
mod retry_saga;
mod signal_saga;
mod skip_step;
mod start_saga;
mod watch_saga;

/// What the handlers work with.
#[derive(Clone)]
pub struct Rpc {
    pub(crate) engine: Engine,
    /// Cancelled when the service goes: streams end.
    drain: CancellationToken,
    watches: Arc<Semaphore>,
}

impl Rpc {
    /// The rpcs over this engine; nobody watches a saga once `drain` is cancelled.
    pub fn new(engine: Engine, drain: CancellationToken) -> Self {
        Self {
            engine,
            drain,
            watches: Arc::new(Semaphore::new(watch_saga::MAX_WATCHES)),
        }
    }
}

#[async_trait]
impl SagaService for Rpc {
    async fn register_definition(
        &self,
        request: Request<pb::RegisterDefinitionRequest>,
    ) -> Result<Response<pb::RegisterDefinitionResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            register_definition::handle(self, call, message)
        })
        .await
    }

    async fn get_definition(
        &self,
        request: Request<pb::GetDefinitionRequest>,
    ) -> Result<Response<pb::GetDefinitionResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_definition::handle(self, call, message)
        })
        .await
    }

    async fn list_definitions(
        &self,
        request: Request<pb::ListDefinitionsRequest>,
    ) -> Result<Response<pb::ListDefinitionsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_definitions::handle(self, call, message)
        })
        .await
    }

    async fn start_saga(
        &self,
        request: Request<pb::StartSagaRequest>,
    ) -> Result<Response<pb::StartSagaResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            start_saga::handle(self, call, message)
        })
        .await
    }

    async fn get_saga(
        &self,
        request: Request<pb::GetSagaRequest>,
    ) -> Result<Response<pb::GetSagaResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_saga::handle(self, call, message)
        })
        .await
    }

    async fn list_sagas(
        &self,
        request: Request<pb::ListSagasRequest>,
    ) -> Result<Response<pb::ListSagasResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_sagas::handle(self, call, message)
        })
        .await
    }

    async fn retry_saga(
        &self,
        request: Request<pb::RetrySagaRequest>,
    ) -> Result<Response<pb::RetrySagaResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            retry_saga::handle(self, call, message)
        })
        .await
    }

    async fn cancel_saga(
        &self,
        request: Request<pb::CancelSagaRequest>,
    ) -> Result<Response<pb::CancelSagaResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            cancel_saga::handle(self, call, message)
        })
        .await
    }

    type WatchSagaStream = BoxStream<'static, Result<pb::WatchSagaResponse, Status>>;

    async fn watch_saga(
        &self,
        request: Request<pb::WatchSagaRequest>,
    ) -> Result<Response<Self::WatchSagaStream>, Status> {
        chassis::rpc::server_stream(request, |call, message| {
            watch_saga::handle(self, call, message)
        })
        .await
    }

    async fn skip_step(
        &self,
        request: Request<pb::SkipStepRequest>,
    ) -> Result<Response<pb::SkipStepResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            skip_step::handle(self, call, message)
        })
        .await
    }

    async fn resolve_step(
        &self,
        request: Request<pb::ResolveStepRequest>,
    ) -> Result<Response<pb::ResolveStepResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            resolve_step::handle(self, call, message)
        })
        .await
    }

    async fn signal_saga(
        &self,
        request: Request<pb::SignalSagaRequest>,
    ) -> Result<Response<pb::SignalSagaResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            signal_saga::handle(self, call, message)
        })
        .await
    }
}

//! The rpcs: each method delegates to its file.

use contracts::caravan::saga::v1::{self as pb, saga_service_server::SagaService};
use tonic::{Request, Response, Status, async_trait};

use crate::engine::Engine;

mod cancel_saga;
mod convert;
mod get_definition;
mod get_saga;
mod list_definitions;
mod list_sagas;
mod register_definition;
mod retry_saga;
mod start_saga;

/// What the handlers work with.
#[derive(Clone)]
pub struct Rpc {
    pub(crate) engine: Engine,
}

impl Rpc {
    /// The rpcs over this engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine }
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
}

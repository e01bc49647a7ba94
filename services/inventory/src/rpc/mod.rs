//! The rpcs: each method delegates to its file.

use std::time::Duration;

use chassis::db::Db;
use contracts::caravan::inventory::v1::{self as pb, inventory_service_server::InventoryService};
use tonic::{Request, Response, Status, async_trait};

mod batch_get_stock;
mod commit_stock;
mod convert;
mod get_stock;
mod release_stock;
mod reserve_stock;
mod return_stock;
mod set_stock;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct Rpc {
    pub(crate) db: Db,
    /// How long a hold lasts.
    pub(crate) hold_ttl: Duration,
}

impl Rpc {
    /// The rpcs over this database; holds last `hold_ttl`.
    pub fn new(db: Db, hold_ttl: Duration) -> Self {
        Self { db, hold_ttl }
    }
}

#[async_trait]
impl InventoryService for Rpc {
    async fn get_stock(
        &self,
        request: Request<pb::GetStockRequest>,
    ) -> Result<Response<pb::GetStockResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_stock::handle(self, call, message)
        })
        .await
    }

    async fn batch_get_stock(
        &self,
        request: Request<pb::BatchGetStockRequest>,
    ) -> Result<Response<pb::BatchGetStockResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            batch_get_stock::handle(self, call, message)
        })
        .await
    }

    async fn set_stock(
        &self,
        request: Request<pb::SetStockRequest>,
    ) -> Result<Response<pb::SetStockResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            set_stock::handle(self, call, message)
        })
        .await
    }

    async fn reserve_stock(
        &self,
        request: Request<pb::ReserveStockRequest>,
    ) -> Result<Response<pb::ReserveStockResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            reserve_stock::handle(self, call, message)
        })
        .await
    }

    async fn release_stock(
        &self,
        request: Request<pb::ReleaseStockRequest>,
    ) -> Result<Response<pb::ReleaseStockResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            release_stock::handle(self, call, message)
        })
        .await
    }

    async fn commit_stock(
        &self,
        request: Request<pb::CommitStockRequest>,
    ) -> Result<Response<pb::CommitStockResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            commit_stock::handle(self, call, message)
        })
        .await
    }

    async fn return_stock(
        &self,
        request: Request<pb::ReturnStockRequest>,
    ) -> Result<Response<pb::ReturnStockResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            return_stock::handle(self, call, message)
        })
        .await
    }
}

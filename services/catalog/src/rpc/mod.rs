//! The rpcs: each method delegates to its file.

use chassis::db::Db;
use contracts::caravan::catalog::v1::{self as pb, catalog_service_server::CatalogService};
use tonic::{Request, Response, Status, async_trait};

mod batch_get_products;
pub(crate) mod convert;
mod create_product;
mod get_product;
mod list_products;
mod retire_product;
mod update_mask;
mod update_product;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct Rpc {
    pub(crate) db: Db,
}

impl Rpc {
    /// The rpcs over this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl CatalogService for Rpc {
    async fn create_product(
        &self,
        request: Request<pb::CreateProductRequest>,
    ) -> Result<Response<pb::CreateProductResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            create_product::handle(self, call, message)
        })
        .await
    }

    async fn get_product(
        &self,
        request: Request<pb::GetProductRequest>,
    ) -> Result<Response<pb::GetProductResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_product::handle(self, call, message)
        })
        .await
    }

    async fn list_products(
        &self,
        request: Request<pb::ListProductsRequest>,
    ) -> Result<Response<pb::ListProductsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_products::handle(self, call, message)
        })
        .await
    }

    async fn batch_get_products(
        &self,
        request: Request<pb::BatchGetProductsRequest>,
    ) -> Result<Response<pb::BatchGetProductsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            batch_get_products::handle(self, call, message)
        })
        .await
    }

    async fn update_product(
        &self,
        request: Request<pb::UpdateProductRequest>,
    ) -> Result<Response<pb::UpdateProductResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            update_product::handle(self, call, message)
        })
        .await
    }

    async fn retire_product(
        &self,
        request: Request<pb::RetireProductRequest>,
    ) -> Result<Response<pb::RetireProductResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            retire_product::handle(self, call, message)
        })
        .await
    }
}

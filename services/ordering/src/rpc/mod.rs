//! The rpcs: each method delegates to its file.

use chassis::{Call, db::Db};
use contracts::caravan::ordering::v1::{self as pb, ordering_service_server::OrderingService};
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use crate::{
    domain::order::Order,
    error::Error,
    store,
    upstream::{Catalog, Identity},
    watch::Watchers,
};

mod accept_return;
mod cancel_order;
mod confirm_order;
mod decline_return;
mod get_order;
mod list_orders;
mod place_order;
mod reject_order;
mod request_return;
mod watch_order;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct Rpc {
    pub(crate) db: Db,
    pub(crate) catalog: Catalog,
    pub(crate) identity: Identity,
    pub(crate) watchers: Watchers,
    /// Cancelled when the service goes: then nobody waits any longer.
    pub(crate) drain: CancellationToken,
}

impl Rpc {
    /// The rpcs over this database, asking these services; nobody waits for an order once `drain` is cancelled.
    pub fn new(db: Db, catalog: Catalog, identity: Identity, drain: CancellationToken) -> Self {
        Self {
            db,
            catalog,
            identity,
            watchers: Watchers::default(),
            drain,
        }
    }

    /// The order, where it exists and the caller may see it.
    async fn visible_order(&self, call: &Call, id: Uuid) -> Result<Order, Error> {
        let order = store::orders::find(self.db.read(), id).await?;
        order
            .filter(|order| {
                call.caller.sees_all() || call.caller.user_id() == Some(order.parts().customer_id)
            })
            .ok_or(Error::NotFound(id))
    }
}

#[async_trait]
impl OrderingService for Rpc {
    type WatchOrderStream = BoxStream<'static, Result<pb::WatchOrderResponse, Status>>;

    async fn place_order(
        &self,
        request: Request<pb::PlaceOrderRequest>,
    ) -> Result<Response<pb::PlaceOrderResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            place_order::handle(self, call, message)
        })
        .await
    }

    async fn get_order(
        &self,
        request: Request<pb::GetOrderRequest>,
    ) -> Result<Response<pb::GetOrderResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            get_order::handle(self, call, message)
        })
        .await
    }

    async fn list_orders(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_orders::handle(self, call, message)
        })
        .await
    }

    async fn cancel_order(
        &self,
        request: Request<pb::CancelOrderRequest>,
    ) -> Result<Response<pb::CancelOrderResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            cancel_order::handle(self, call, message)
        })
        .await
    }

    async fn watch_order(
        &self,
        request: Request<pb::WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        chassis::rpc::server_stream(request, |call, message| {
            watch_order::handle(self, call, message)
        })
        .await
    }

    async fn confirm_order(
        &self,
        request: Request<pb::ConfirmOrderRequest>,
    ) -> Result<Response<pb::ConfirmOrderResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            confirm_order::handle(self, call, message)
        })
        .await
    }

    async fn reject_order(
        &self,
        request: Request<pb::RejectOrderRequest>,
    ) -> Result<Response<pb::RejectOrderResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            reject_order::handle(self, call, message)
        })
        .await
    }

    async fn request_return(
        &self,
        request: Request<pb::RequestReturnRequest>,
    ) -> Result<Response<pb::RequestReturnResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            request_return::handle(self, call, message)
        })
        .await
    }

    async fn accept_return(
        &self,
        request: Request<pb::AcceptReturnRequest>,
    ) -> Result<Response<pb::AcceptReturnResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            accept_return::handle(self, call, message)
        })
        .await
    }

    async fn decline_return(
        &self,
        request: Request<pb::DeclineReturnRequest>,
    ) -> Result<Response<pb::DeclineReturnResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            decline_return::handle(self, call, message)
        })
        .await
    }
}

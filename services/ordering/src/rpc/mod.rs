//! The rpcs: each method delegates to its file.

use chassis::{
    Call, clock,
    db::{Db, Tx},
    outbox::Actor,
};
use contracts::caravan::ordering::v1::{
    self as pb, order_history_service_server::OrderHistoryService,
    ordering_service_server::OrderingService,
};
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use crate::{
    domain::{
        event::Event,
        order::{Order, OrderError},
    },
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
mod list_order_events;
mod list_orders;
mod place_order;
mod rebuild_orders;
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

/// Loads an order, decides, and records what was decided.
async fn change(
    tx: &Tx,
    id: Uuid,
    actor: &Actor,
    decide: impl FnOnce(&Order) -> Result<Option<Event>, OrderError>,
) -> Result<Order, Error> {
    let order = store::history::load(tx, id)
        .await?
        .ok_or(Error::NotFound(id))?;
    let decision = decide(&order)?;
    record(tx, order, decision, actor).await
}

/// The order after a decision; as it was where there is nothing new.
async fn record(
    tx: &Tx,
    order: Order,
    decision: Option<Event>,
    actor: &Actor,
) -> Result<Order, Error> {
    match decision {
        Some(event) => Ok(store::history::append(tx, order, &event, clock::now(), actor).await?),
        None => Ok(order),
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

#[async_trait]
impl OrderHistoryService for Rpc {
    type RebuildOrdersStream = BoxStream<'static, Result<pb::RebuildOrdersResponse, Status>>;

    async fn list_order_events(
        &self,
        request: Request<pb::ListOrderEventsRequest>,
    ) -> Result<Response<pb::ListOrderEventsResponse>, Status> {
        chassis::rpc::unary(request, |call, message| {
            list_order_events::handle(self, call, message)
        })
        .await
    }

    async fn rebuild_orders(
        &self,
        request: Request<pb::RebuildOrdersRequest>,
    ) -> Result<Response<Self::RebuildOrdersStream>, Status> {
        chassis::rpc::server_stream(request, |call, message| {
            rebuild_orders::handle(self, call, message)
        })
        .await
    }
}

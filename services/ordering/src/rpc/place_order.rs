//! Places an order, and waits for its outcome where the caller asked for that.

use std::time::Duration;

use chassis::{Call, clock};
use contracts::caravan::ordering::v1 as pb;
use uuid::Uuid;

use super::{Rpc, convert};
use crate::{
    domain::{
        customer::Customer,
        draft::{Draft, Wish},
        order::{Order, Placement},
    },
    error::Error,
    events::publish,
    store,
};

pub(super) async fn handle(
    rpc: &Rpc,
    call: Call,
    request: pb::PlaceOrderRequest,
) -> Result<pb::PlaceOrderResponse, Error> {
    let customer_id = call.caller.user_id().ok_or(Error::NotACustomer)?;
    let placed = match rpc.db.replay(&call, &request).await? {
        Some(placed) => placed,
        None => place(rpc, &call, &request, customer_id).await?,
    };
    match call.prefer_wait {
        Some(patience) => outcome(rpc, placed, patience).await,
        None => Ok(placed),
    }
}

async fn place(
    rpc: &Rpc,
    call: &Call,
    request: &pb::PlaceOrderRequest,
    customer_id: Uuid,
) -> Result<pb::PlaceOrderResponse, Error> {
    let wishes = request.lines.iter().map(|line| Wish {
        sku: line.sku.clone(),
        quantity: line.quantity,
    });
    let draft = Draft::new(wishes.collect())?;
    let customer = customer(rpc, customer_id).await?;
    let offers = rpc.catalog.offers(draft.skus()).await?;
    let (order, placement) = Order::place(Uuid::now_v7(), &customer, &draft, &offers, clock::now());
    let (order, placement) = (&order, &placement);
    rpc.db
        .once(call, request, |tx| async move {
            store::orders::insert(&tx, order).await?;
            match placement {
                Placement::Placed => publish::placed(&tx, order, &request.payment_method).await?,
                Placement::Rejected => publish::rejected(&tx, order).await?,
            }
            Ok(pb::PlaceOrderResponse {
                order: Some(convert::order(order)),
            })
        })
        .await
}

/// The customer by our own copy; by identity where its events have not come yet.
async fn customer(rpc: &Rpc, id: Uuid) -> Result<Customer, Error> {
    if let Some(customer) = store::customers::find(rpc.db.read(), id).await? {
        return Ok(customer);
    }
    rpc.identity.account(id).await?.ok_or(Error::NotACustomer)
}

/// The order once checkout has come to an end, or as it stands after `patience`.
async fn outcome(
    rpc: &Rpc,
    placed: pb::PlaceOrderResponse,
    patience: Duration,
) -> Result<pb::PlaceOrderResponse, Error> {
    let Some(order) = &placed.order else {
        return Ok(placed);
    };
    let id = convert::order_id(&order.order_id)?;
    let watcher = rpc.watchers.watch(id).ok_or(Error::TooManyWatchers)?;
    let read = || async {
        store::orders::find(rpc.db.read(), id)
            .await?
            .ok_or(Error::NotFound(id))
    };
    let settled = watcher.until(read, |order| order.parts().status.is_settled());
    let order = match tokio::time::timeout(patience, settled).await {
        Ok(order) => order?,
        Err(_) => read().await?,
    };
    Ok(pb::PlaceOrderResponse {
        order: Some(convert::order(&order)),
    })
}

//! Places an order, and waits for its outcome where the caller asked for that.

use std::time::Duration;

use chassis::{Call, clock, context, outbox::Actor};
use contracts::caravan::ordering::v1 as pb;
use tokio::time::Instant;
use uuid::Uuid;

use super::Rpc;
use crate::{
    domain::{
        customer::Customer,
        draft::{Draft, Wish},
        order::Order,
    },
    error::Error,
    message, store,
};

/// What is left of the call's time for reading the order once more and answering it.
const ANSWER_MARGIN: Duration = Duration::from_millis(500);

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
        Some(patience) => Ok(outcome(rpc, placed, patience).await),
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
    let event = &Order::place(&customer, &draft, &offers);
    let (id, now, actor) = (Uuid::now_v7(), clock::now(), &Actor::of(call));
    rpc.db
        .once(call, request, |tx| async move {
            let method = &request.payment_method;
            let order = store::history::begin(&tx, id, event, method, now, actor).await?;
            Ok(pb::PlaceOrderResponse {
                order: Some(message::order(&order)),
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

/// The order once checkout has come to an end, or as it stands after `patience` or when the service goes.
/// The order is placed by now, so nothing that goes wrong here is the caller's failure.
async fn outcome(
    rpc: &Rpc,
    placed: pb::PlaceOrderResponse,
    patience: Duration,
) -> pb::PlaceOrderResponse {
    let Some(order) = &placed.order else {
        return placed;
    };
    match settled(rpc, &order.order_id, patience).await {
        Ok(order) => pb::PlaceOrderResponse {
            order: Some(message::order(&order)),
        },
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                order_id = order.order_id,
                "an order is answered as it was placed, because nobody could wait for it"
            );
            placed
        }
    }
}

async fn settled(rpc: &Rpc, order_id: &str, patience: Duration) -> Result<Order, Error> {
    let id = message::order_id(order_id)?;
    let watcher = rpc.watchers.watch(id).ok_or(Error::TooManyWatchers)?;
    let read = || async {
        store::orders::find(rpc.db.read(), id)
            .await?
            .ok_or(Error::NotFound(id))
    };
    let until = last_moment(patience);
    tokio::select! {
        order = watcher.until(read, |order| order.parts().status.is_settled()) => return order,
        () = tokio::time::sleep_until(until) => {}
        () = rpc.drain.cancelled() => {}
    }
    read().await
}

/// When waiting ends: after `patience`, and in time to answer before the call's deadline.
fn last_moment(patience: Duration) -> Instant {
    let (now, deadline) = (
        Instant::now(),
        context::current().and_then(|call| call.deadline),
    );
    let patient = now + patience;
    match deadline {
        Some(deadline) => patient.min(deadline.checked_sub(ANSWER_MARGIN).unwrap_or(now)),
        None => patient,
    }
}

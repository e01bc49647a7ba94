//! What became of an order as the contract's events.

use chassis::{
    db::{Error, Tx},
    outbox,
};
use contracts::caravan::ordering::v1 as pb;

use crate::{
    domain::order::{Cancelled, Order},
    message,
};

/// The order waits for stock and money. `payment_method` is kept nowhere else.
pub(crate) async fn placed(tx: &Tx, order: &Order, payment_method: &str) -> Result<(), Error> {
    let parts = order.parts();
    let event = pb::OrderPlaced {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        lines: parts.lines.iter().map(message::line).collect(),
        total: parts.total.as_ref().map(message::money),
        payment_method: payment_method.to_owned(),
    };
    outbox::append(tx, &event).await
}

/// The order will be delivered.
pub(crate) async fn confirmed(tx: &Tx, order: &Order) -> Result<(), Error> {
    let parts = order.parts();
    let event = pb::OrderConfirmed {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        customer_name: parts.customer_name.clone(),
        lines: parts.lines.iter().map(message::line).collect(),
        total: parts.total.as_ref().map(message::money),
    };
    outbox::append(tx, &event).await
}

/// The order was turned down.
pub(crate) async fn rejected(tx: &Tx, order: &Order) -> Result<(), Error> {
    let parts = order.parts();
    let event = pb::OrderRejected {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        rejection: parts.rejection.as_ref().map(message::rejection),
        ..Default::default()
    };
    outbox::append(tx, &event).await
}

/// The order was taken back.
pub(crate) async fn cancelled(tx: &Tx, order: &Order, what: Cancelled) -> Result<(), Error> {
    let parts = order.parts();
    let event = pb::OrderCancelled {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        was_confirmed: what.was_confirmed,
        ..Default::default()
    };
    outbox::append(tx, &event).await
}

/// The customer wants to send the order back.
pub(crate) async fn return_requested(tx: &Tx, order: &Order, reason: &str) -> Result<(), Error> {
    let parts = order.parts();
    let event = pb::OrderReturnRequested {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        lines: parts.lines.iter().map(message::line).collect(),
        total: parts.total.as_ref().map(message::money),
        reason: reason.to_owned(),
    };
    outbox::append(tx, &event).await
}

/// The order was sent back.
pub(crate) async fn returned(tx: &Tx, order: &Order) -> Result<(), Error> {
    let parts = order.parts();
    let event = pb::OrderReturned {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        lines: parts.lines.iter().map(message::line).collect(),
        total: parts.total.as_ref().map(message::money),
    };
    outbox::append(tx, &event).await
}

/// The order stays with the customer; the sentence says why.
pub(crate) async fn return_declined(tx: &Tx, order: &Order, text: &str) -> Result<(), Error> {
    let parts = order.parts();
    let event = pb::OrderReturnDeclined {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        message: text.to_owned(),
    };
    outbox::append(tx, &event).await
}

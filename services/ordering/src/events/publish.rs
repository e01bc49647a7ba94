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
    };
    outbox::append(tx, &event).await
}

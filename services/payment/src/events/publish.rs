//! What became of a payment as the contract's events.

use chassis::{
    db::{Error, Tx},
    outbox,
};
use contracts::caravan::payment::v1 as pb;

use crate::{domain::payment::Payment, rpc::convert};

/// The amount is held.
pub(crate) async fn authorized(tx: &Tx, payment: &Payment) -> Result<(), Error> {
    let (payment_id, order_id, amount) = what(payment);
    outbox::append(
        tx,
        &pb::PaymentAuthorized {
            payment_id,
            order_id,
            amount,
        },
    )
    .await
}

/// The amount is taken.
pub(crate) async fn captured(tx: &Tx, payment: &Payment) -> Result<(), Error> {
    let (payment_id, order_id, amount) = what(payment);
    outbox::append(
        tx,
        &pb::PaymentCaptured {
            payment_id,
            order_id,
            amount,
        },
    )
    .await
}

/// The hold was given back.
pub(crate) async fn voided(tx: &Tx, payment: &Payment) -> Result<(), Error> {
    let (payment_id, order_id, _) = what(payment);
    outbox::append(
        tx,
        &pb::PaymentVoided {
            payment_id,
            order_id,
        },
    )
    .await
}

/// The provider said no.
pub(crate) async fn declined(tx: &Tx, payment: &Payment) -> Result<(), Error> {
    let (payment_id, order_id, _) = what(payment);
    let decline_code = payment
        .parts()
        .decline
        .as_ref()
        .map(|decline| decline.code.clone())
        .unwrap_or_default();
    outbox::append(
        tx,
        &pb::PaymentDeclined {
            payment_id,
            order_id,
            decline_code,
        },
    )
    .await
}

/// The amount went back.
pub(crate) async fn refunded(tx: &Tx, payment: &Payment) -> Result<(), Error> {
    let (payment_id, order_id, amount) = what(payment);
    outbox::append(
        tx,
        &pb::RefundIssued {
            payment_id,
            order_id,
            amount,
        },
    )
    .await
}

fn what(
    payment: &Payment,
) -> (
    String,
    String,
    Option<contracts::caravan::common::v1::Money>,
) {
    let parts = payment.parts();
    (
        parts.id.to_string(),
        parts.order_id.to_string(),
        Some(convert::money(&parts.amount)),
    )
}

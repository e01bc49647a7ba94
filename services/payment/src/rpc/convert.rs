//! Payments as the contract's messages, and back.

use chassis::{Violation, clock};
use contracts::caravan::{common::v1::Money as MoneyMessage, payment::v1 as pb};
use uuid::Uuid;

use crate::{
    domain::{
        money::Money,
        payment::{Payment, Status},
    },
    error::Error,
};

pub(crate) fn payment(payment: &Payment) -> pb::Payment {
    let parts = payment.parts();
    pb::Payment {
        payment_id: parts.id.to_string(),
        order_id: parts.order_id.to_string(),
        customer_id: parts.customer_id.to_string(),
        status: status(parts.status).into(),
        amount: Some(money(&parts.amount)),
        decline_code: parts
            .decline
            .as_ref()
            .map(|decline| decline.code.clone())
            .unwrap_or_default(),
        provider_reference: parts.provider_reference.clone().unwrap_or_default(),
        create_time: Some(clock::timestamp(parts.created)),
        update_time: Some(clock::timestamp(parts.updated)),
    }
}

pub(crate) fn money(money: &Money) -> MoneyMessage {
    MoneyMessage {
        currency_code: money.currency_code.clone(),
        minor_units: money.minor_units,
    }
}

/// An amount that can be held: of a currency, and more than nothing.
pub(super) fn amount(message: Option<&MoneyMessage>) -> Result<Money, Error> {
    let message = message.ok_or_else(|| Violation::new("amount", "must be set"))?;
    if message.minor_units < 1 {
        return Err(Violation::new("amount.minorUnits", "must be at least 1").into());
    }
    Ok(Money {
        currency_code: message.currency_code.clone(),
        minor_units: message.minor_units,
    })
}

fn status(status: Status) -> pb::PaymentStatus {
    match status {
        // Whether something is held is not known yet in either.
        Status::Pending | Status::Voiding => pb::PaymentStatus::Pending,
        Status::Authorized => pb::PaymentStatus::Authorized,
        Status::Captured => pb::PaymentStatus::Captured,
        Status::Voided => pb::PaymentStatus::Voided,
        Status::Declined => pb::PaymentStatus::Declined,
        Status::Refunded => pb::PaymentStatus::Refunded,
    }
}

/// The id in a field; `field` as JSON names it.
pub(super) fn id(field: &str, text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Violation::new(field, "must be a UUID").into())
}

//! Events and orders as their stored messages tell them.

use chassis::{db::Error, outbox::Recorded};
use contracts::caravan::{common::v1::Money as MoneyMessage, ordering::v1 as pb};
use prost::Message;
use uuid::Uuid;

use crate::domain::{
    event::{Event, Placed},
    money::Money,
    order::{Line, Rejection, Status},
};

/// The types of the messages that are written today.
pub(super) mod event_type {
    pub(in crate::store) const PLACED: &str = "caravan.ordering.v1.OrderPlaced";
    pub(in crate::store) const CONFIRMED: &str = "caravan.ordering.v1.OrderConfirmed";
    pub(in crate::store) const REJECTED: &str = "caravan.ordering.v1.OrderRejected";
    pub(in crate::store) const CANCELLED: &str = "caravan.ordering.v1.OrderCancelled";
    pub(in crate::store) const RETURN_REQUESTED: &str = "caravan.ordering.v1.OrderReturnRequested";
    pub(in crate::store) const RETURNED: &str = "caravan.ordering.v1.OrderReturned";
    pub(in crate::store) const RETURN_DECLINED: &str = "caravan.ordering.v1.OrderReturnDeclined";
}

/// The event of a record of today's type. Names of customers are not in it: they stand beside the history.
///
/// # Errors
/// [`Error::Corrupt`]
pub(super) fn event(record: &Recorded) -> Result<Event, Error> {
    let bytes = record.payload.as_slice();
    match record.event_type.as_str() {
        event_type::PLACED => {
            let message: pb::OrderPlaced = decode(bytes)?;
            placed(&message.customer_id, message.lines, message.total).map(Event::Placed)
        }
        event_type::CONFIRMED => Ok(Event::Confirmed),
        event_type::REJECTED => {
            let message: pb::OrderRejected = decode(bytes)?;
            let why = rejection(message.rejection.unwrap_or_default());
            if record.version > 1 {
                return Ok(Event::Rejected(why));
            }
            let placed = placed(&message.customer_id, message.lines, message.total)?;
            Ok(Event::Refused(placed, why))
        }
        event_type::CANCELLED => {
            let message: pb::OrderCancelled = decode(bytes)?;
            Ok(Event::Cancelled {
                was_confirmed: message.was_confirmed,
                reason: message.reason,
            })
        }
        event_type::RETURN_REQUESTED => {
            let message: pb::OrderReturnRequested = decode(bytes)?;
            Ok(Event::ReturnRequested {
                reason: message.reason,
            })
        }
        event_type::RETURNED => Ok(Event::Returned),
        event_type::RETURN_DECLINED => {
            let message: pb::OrderReturnDeclined = decode(bytes)?;
            Ok(Event::ReturnDeclined {
                message: message.message,
            })
        }
        other => Err(Error::Corrupt(format!("{other} is no event of an order"))),
    }
}

pub(super) fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Error> {
    M::decode(bytes).map_err(|error| Error::Corrupt(format!("the history of an order: {error}")))
}

fn placed(
    customer_id: &str,
    lines: Vec<pb::OrderLine>,
    total: Option<MoneyMessage>,
) -> Result<Placed, Error> {
    Ok(Placed {
        customer_id: id(customer_id)?,
        customer_name: String::new(),
        lines: lines.into_iter().map(line).collect(),
        total: total.map(money),
    })
}

pub(super) fn id(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Error::Corrupt(format!("'{text}' is no id")))
}

pub(super) fn line(line: pb::OrderLine) -> Line {
    Line {
        sku: line.sku,
        name: line.name,
        quantity: line.quantity,
        unit_price: line.unit_price.map(money),
    }
}

pub(super) fn money(money: MoneyMessage) -> Money {
    Money {
        currency_code: money.currency_code,
        minor_units: money.minor_units,
    }
}

pub(super) fn rejection(rejection: pb::Rejection) -> Rejection {
    Rejection {
        reason: rejection.reason,
        message: rejection.message,
    }
}

pub(super) fn status(status: pb::OrderStatus) -> Result<Status, Error> {
    match status {
        pb::OrderStatus::Pending => Ok(Status::Pending),
        pb::OrderStatus::Confirmed => Ok(Status::Confirmed),
        pb::OrderStatus::Rejected => Ok(Status::Rejected),
        pb::OrderStatus::Cancelled => Ok(Status::Cancelled),
        pb::OrderStatus::ReturnRequested => Ok(Status::ReturnRequested),
        pb::OrderStatus::Returned => Ok(Status::Returned),
        pb::OrderStatus::ReturnDeclined => Ok(Status::ReturnDeclined),
        other => Err(Error::Corrupt(format!(
            "an order stands at {}",
            other.as_str_name()
        ))),
    }
}

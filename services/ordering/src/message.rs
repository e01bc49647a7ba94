//! Orders as the contract's messages, and ids from them.

use chassis::{Violation, clock};
use contracts::caravan::{common::v1::Money as MoneyMessage, ordering::v1 as pb};
use uuid::Uuid;

use crate::{
    domain::{
        money::Money,
        order::{Line, Order, Rejection, Status},
    },
    error::Error,
};

pub(crate) fn order(order: &Order) -> pb::Order {
    let parts = order.parts();
    pb::Order {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        customer_name: parts.customer_name.clone(),
        status: status(parts.status).into(),
        lines: parts.lines.iter().map(line).collect(),
        total: parts.total.as_ref().map(money),
        rejection: parts.rejection.as_ref().map(rejection),
        create_time: Some(clock::timestamp(parts.created)),
        update_time: Some(clock::timestamp(parts.updated)),
    }
}

pub(crate) fn line(line: &Line) -> pb::OrderLine {
    pb::OrderLine {
        sku: line.sku.clone(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price.as_ref().map(money),
    }
}

pub(crate) fn money(money: &Money) -> MoneyMessage {
    MoneyMessage {
        currency_code: money.currency_code.clone(),
        minor_units: money.minor_units,
    }
}

pub(crate) fn rejection(rejection: &Rejection) -> pb::Rejection {
    pb::Rejection {
        reason: rejection.reason.clone(),
        message: rejection.message.clone(),
    }
}

pub(crate) fn status(status: Status) -> pb::OrderStatus {
    match status {
        Status::Pending => pb::OrderStatus::Pending,
        Status::Confirmed => pb::OrderStatus::Confirmed,
        Status::Rejected => pb::OrderStatus::Rejected,
        Status::Cancelled => pb::OrderStatus::Cancelled,
        Status::ReturnRequested => pb::OrderStatus::ReturnRequested,
        Status::Returned => pb::OrderStatus::Returned,
        Status::ReturnDeclined => pb::OrderStatus::ReturnDeclined,
    }
}

pub(crate) fn order_id(text: &str) -> Result<Uuid, Error> {
    text.parse()
        .map_err(|_| Violation::new("orderId", "must be a UUID").into())
}

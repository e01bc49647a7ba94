//! Events of an order as the contract's messages: what is published is what the order's history holds.

use chassis::{
    db::{Error, Tx},
    outbox::{self, Actor},
};
use contracts::caravan::ordering::v1 as pb;
use prost_reflect::ReflectMessage;

use crate::{
    domain::{
        event::{Event, Placed},
        order::Order,
    },
    message,
};

/// Writes an event into the history of `order`, which is the order after it; from there it is published.
/// `payment_method` goes with the event that places the order, and is kept nowhere else.
///
/// # Errors
/// [`Error::Conflict`] where another event came first.
pub(crate) async fn append(
    tx: &Tx,
    order: &Order,
    event: &Event,
    payment_method: &str,
    actor: &Actor,
) -> Result<(), Error> {
    let writer = Writer { tx, order, actor };
    match event {
        Event::Placed(placed) => {
            writer
                .write(&order_placed(order, placed, payment_method))
                .await
        }
        Event::Refused(placed, _) => writer.write(&order_rejected(order, Some(placed))).await,
        Event::Rejected(_) => writer.write(&order_rejected(order, None)).await,
        Event::Confirmed => writer.write(&order_confirmed(order)).await,
        Event::Cancelled {
            was_confirmed,
            reason,
        } => {
            let event = pb::OrderCancelled {
                order_id: order.parts().id.to_string(),
                customer_id: order.parts().customer_id.to_string(),
                was_confirmed: *was_confirmed,
                reason: reason.clone(),
            };
            writer.write(&event).await
        }
        Event::ReturnRequested { reason } => writer.write(&return_requested(order, reason)).await,
        Event::Returned => writer.write(&order_returned(order)).await,
        Event::ReturnDeclined { message } => {
            let event = pb::OrderReturnDeclined {
                order_id: order.parts().id.to_string(),
                customer_id: order.parts().customer_id.to_string(),
                message: message.clone(),
            };
            writer.write(&event).await
        }
    }
}

struct Writer<'a> {
    tx: &'a Tx,
    order: &'a Order,
    actor: &'a Actor,
}

impl Writer<'_> {
    async fn write<M: ReflectMessage>(&self, event: &M) -> Result<(), Error> {
        let parts = self.order.parts();
        outbox::append_version(self.tx, event, parts.version, parts.updated, self.actor).await
    }
}

fn order_placed(order: &Order, placed: &Placed, payment_method: &str) -> pb::OrderPlaced {
    pb::OrderPlaced {
        order_id: order.parts().id.to_string(),
        customer_id: placed.customer_id.to_string(),
        lines: placed.lines.iter().map(message::line).collect(),
        total: placed.total.as_ref().map(message::money),
        payment_method: payment_method.to_owned(),
    }
}

fn order_confirmed(order: &Order) -> pb::OrderConfirmed {
    let parts = order.parts();
    pb::OrderConfirmed {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        customer_name: parts.customer_name.clone(),
        lines: parts.lines.iter().map(message::line).collect(),
        total: parts.total.as_ref().map(message::money),
    }
}

/// `placed` where it was turned down as it was placed: then nothing else tells what was ordered.
fn order_rejected(order: &Order, placed: Option<&Placed>) -> pb::OrderRejected {
    let parts = order.parts();
    let lines = placed.map_or(&[][..], |placed| &placed.lines);
    pb::OrderRejected {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        rejection: parts.rejection.as_ref().map(message::rejection),
        lines: lines.iter().map(message::line).collect(),
        total: placed
            .and_then(|placed| placed.total.as_ref())
            .map(message::money),
    }
}

fn return_requested(order: &Order, reason: &str) -> pb::OrderReturnRequested {
    let parts = order.parts();
    pb::OrderReturnRequested {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        lines: parts.lines.iter().map(message::line).collect(),
        total: parts.total.as_ref().map(message::money),
        reason: reason.to_owned(),
    }
}

fn order_returned(order: &Order) -> pb::OrderReturned {
    let parts = order.parts();
    pb::OrderReturned {
        order_id: parts.id.to_string(),
        customer_id: parts.customer_id.to_string(),
        lines: parts.lines.iter().map(message::line).collect(),
        total: parts.total.as_ref().map(message::money),
    }
}

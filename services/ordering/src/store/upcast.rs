//! Old records read as today's: a type of record that is no longer written has an upcaster here, for good.
//!
//! Histories are never rewritten, so whatever was written once must stay readable. An upcaster turns a record of an old type
//! into records of the next younger one; they are applied until every record is of a type that is written today.

use chassis::{clock, db::Error, outbox::Recorded};
use contracts::caravan::ordering::v1 as pb;
use prost::Message as _;
use prost_types::Timestamp;
use time::OffsetDateTime;

use super::record::{self, event_type};

/// From one old type to the next younger one.
type Upcast = fn(Recorded) -> Result<Vec<Recorded>, Error>;

/// An order as a row told it, before orders had events: the message `Order`, at the version that the row had.
pub(super) const STATE: &str = "caravan.ordering.v1.Order";

/// Every type that is no longer written.
const UPCASTERS: [(&str, Upcast); 1] = [(STATE, from_state)];

/// Reads a record as records of today's types.
///
/// # Errors
/// [`Error::Corrupt`]
pub(super) fn upcast(record: Recorded) -> Result<Vec<Recorded>, Error> {
    let old = UPCASTERS.iter().find(|(old, _)| *old == record.event_type);
    let Some((_, upcaster)) = old else {
        return Ok(vec![record]);
    };
    let mut records = Vec::new();
    for younger in upcaster(record)? {
        records.extend(upcast(younger)?);
    }
    Ok(records)
}

/// The events that must have led to the state, one for each version. All times but the first and the last are lost, and so is
/// who acted.
fn from_state(record: Recorded) -> Result<Vec<Recorded>, Error> {
    let order: pb::Order = record::decode(&record.payload)?;
    let (created, updated) = (time(order.create_time), time(order.update_time));
    let path: &[Made] = match (order.status(), record.version) {
        (pb::OrderStatus::Pending, 1) => &[placed],
        (pb::OrderStatus::Confirmed, 2) => &[placed, confirmed],
        (pb::OrderStatus::Rejected, 1) => &[rejected],
        (pb::OrderStatus::Rejected, 2) => &[placed, rejected],
        (pb::OrderStatus::Cancelled, 2) => &[placed, cancelled],
        (pb::OrderStatus::Cancelled, 3) => &[placed, confirmed, cancelled],
        (status, version) => {
            return Err(Error::Corrupt(format!(
                "no way leads an order to {} in {version} steps",
                status.as_str_name()
            )));
        }
    };
    let records = (1..).zip(path).map(|(version, event): (i64, &Made)| {
        let (event_type, subject, payload) = event(&order, version);
        Recorded {
            version,
            event_type: event_type.to_owned(),
            subject: subject.to_owned(),
            payload,
            at: if version == 1 { created } else { updated },
            actor: None,
            request_id: None,
        }
    });
    Ok(records.collect())
}

/// Makes the event of an order that has this version: its type, its subject and its message.
type Made = fn(&pb::Order, i64) -> (&'static str, &'static str, Vec<u8>);

fn placed(order: &pb::Order, _: i64) -> (&'static str, &'static str, Vec<u8>) {
    let event = pb::OrderPlaced {
        order_id: order.order_id.clone(),
        customer_id: order.customer_id.clone(),
        lines: order.lines.clone(),
        total: order.total.clone(),
        ..Default::default()
    };
    let subject = "ordering.order.placed.v1";
    (event_type::PLACED, subject, event.encode_to_vec())
}

fn confirmed(order: &pb::Order, _: i64) -> (&'static str, &'static str, Vec<u8>) {
    let event = pb::OrderConfirmed {
        order_id: order.order_id.clone(),
        customer_id: order.customer_id.clone(),
        lines: order.lines.clone(),
        total: order.total.clone(),
        ..Default::default()
    };
    let subject = "ordering.order.confirmed.v1";
    (event_type::CONFIRMED, subject, event.encode_to_vec())
}

fn rejected(order: &pb::Order, version: i64) -> (&'static str, &'static str, Vec<u8>) {
    let mut event = pb::OrderRejected {
        order_id: order.order_id.clone(),
        customer_id: order.customer_id.clone(),
        rejection: order.rejection.clone(),
        ..Default::default()
    };
    if version == 1 {
        event.lines = order.lines.clone();
        event.total = order.total.clone();
    }
    let subject = "ordering.order.rejected.v1";
    (event_type::REJECTED, subject, event.encode_to_vec())
}

fn cancelled(order: &pb::Order, version: i64) -> (&'static str, &'static str, Vec<u8>) {
    let event = pb::OrderCancelled {
        order_id: order.order_id.clone(),
        customer_id: order.customer_id.clone(),
        was_confirmed: version == 3,
        ..Default::default()
    };
    let subject = "ordering.order.cancelled.v1";
    (event_type::CANCELLED, subject, event.encode_to_vec())
}

fn time(time: Option<Timestamp>) -> OffsetDateTime {
    time.as_ref()
        .and_then(clock::from_timestamp)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{event, order::Order};

    /// An order as rows told it before there were events.
    fn state(status: pb::OrderStatus, version: i64) -> Recorded {
        let order = pb::Order {
            order_id: uuid::Uuid::nil().to_string(),
            customer_id: uuid::Uuid::max().to_string(),
            status: status.into(),
            lines: vec![pb::OrderLine {
                sku: "mug".into(),
                quantity: 2,
                ..Default::default()
            }],
            rejection: (status == pb::OrderStatus::Rejected).then(|| pb::Rejection {
                reason: "OUT_OF_STOCK".into(),
                message: "No mugs are left.".into(),
            }),
            create_time: Some(clock::timestamp_us(1)),
            update_time: Some(clock::timestamp_us(version)),
            ..Default::default()
        };
        Recorded {
            version,
            event_type: STATE.to_owned(),
            subject: String::new(),
            payload: order.encode_to_vec(),
            at: clock::from_us(version),
            actor: None,
            request_id: None,
        }
    }

    #[test]
    fn a_state_is_read_as_the_events_that_led_to_it() {
        for (status, version) in [
            (pb::OrderStatus::Pending, 1),
            (pb::OrderStatus::Confirmed, 2),
            (pb::OrderStatus::Rejected, 1),
            (pb::OrderStatus::Rejected, 2),
            (pb::OrderStatus::Cancelled, 2),
            (pb::OrderStatus::Cancelled, 3),
        ] {
            let records = upcast(state(status, version)).expect("readable");
            let events: Vec<(event::Event, _)> = records
                .iter()
                .map(|record| (record::event(record).expect("today's"), record.at))
                .collect();
            let events = events.iter().map(|(event, at)| (event, *at));
            let order = Order::fold(uuid::Uuid::nil(), None, events);
            let order = order.expect("one order").expect("placed");
            let parts = order.parts();
            assert_eq!(parts.status, record::status(status).expect("a status"));
            assert_eq!(parts.version, version);
            assert_eq!(parts.lines[0].sku, "mug");
            assert_eq!(parts.updated, clock::from_us(version));
            let rejected = status == pb::OrderStatus::Rejected;
            assert_eq!(parts.rejection.is_some(), rejected);
        }
        assert!(upcast(state(pb::OrderStatus::Pending, 2)).is_err());
    }

    #[test]
    fn what_is_written_today_is_read_as_it_is() {
        let record = Recorded {
            event_type: event_type::CONFIRMED.to_owned(),
            ..state(pb::OrderStatus::Confirmed, 2)
        };
        assert_eq!(upcast(record.clone()).expect("readable"), [record]);
    }
}

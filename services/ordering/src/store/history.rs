//! Orders from their events and back: the write side.

use chassis::{
    db::{Error, Tx},
    outbox::{self, Actor, Recorded},
};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{entity::order_customer, orders, record, snapshots, upcast::upcast};
use crate::{
    domain::{
        event::Event,
        order::{BrokenHistory, Order},
    },
    events::publish,
};

/// Records that are read at a time.
const PAGE_RECORDS: u64 = 100;

/// An event of an order, with its circumstances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What happened. The name of the customer is not in it.
    pub event: Event,
    /// How it was recorded.
    pub record: Recorded,
}

/// Stores the first event of an order, and what the order is by it. `payment_method` is published with the event.
///
/// # Errors
/// The database's own; [`Error::Corrupt`] where an order cannot begin so.
pub async fn begin(
    tx: &Tx,
    id: Uuid,
    event: &Event,
    payment_method: &str,
    now: OffsetDateTime,
    actor: &Actor,
) -> Result<Order, Error> {
    let order = Order::begin(id, event, now).map_err(corrupt)?;
    let customer = order_customer::ActiveModel {
        order_id: Set(id),
        customer_name: Set(order.parts().customer_name.clone()),
    };
    publish::append(tx, &order, event, payment_method, actor).await?;
    order_customer::Entity::insert(customer)
        .exec_without_returning(tx)
        .await?;
    orders::project(tx, &order).await?;
    Ok(order)
}

/// Stores the next event of an order, and what the order is after it.
///
/// # Errors
/// [`Error::Conflict`] where another event came between; on PostgreSQL the unit of work then runs once more.
pub async fn append(
    tx: &Tx,
    order: Order,
    event: &Event,
    now: OffsetDateTime,
    actor: &Actor,
) -> Result<Order, Error> {
    // Clocks of replicas differ, the times of a history do not go back.
    let at = now.max(order.parts().updated);
    let order = order.apply(event, at).map_err(corrupt)?;
    publish::append(tx, &order, event, "", actor).await?;
    snapshots::take(tx, &order).await?;
    orders::project(tx, &order).await?;
    Ok(order)
}

/// The order with this id, from its events.
///
/// # Errors
/// The database's own; [`Error::Corrupt`]
pub async fn load(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Order>, Error> {
    replay(db, id, None).await
}

/// The order with this id as it was at a time; `None` before it was placed.
///
/// # Errors
/// As [`load`].
pub async fn load_as_of(
    db: &impl ConnectionTrait,
    id: Uuid,
    as_of: OffsetDateTime,
) -> Result<Option<Order>, Error> {
    replay(db, id, Some(as_of)).await
}

async fn replay(
    db: &impl ConnectionTrait,
    id: Uuid,
    as_of: Option<OffsetDateTime>,
) -> Result<Option<Order>, Error> {
    let mut order = snapshots::newest(db, id, as_of).await?;
    loop {
        let after = order.as_ref().map_or(0, |order| order.parts().version);
        let mut entries = list(db, id, after, PAGE_RECORDS).await?;
        let more = entries.len() as u64 == PAGE_RECORDS;
        if let Some(as_of) = as_of {
            entries.retain(|entry| entry.record.at <= as_of);
        }
        let more = more && entries.len() as u64 == PAGE_RECORDS;
        let events = entries.iter().map(|entry| (&entry.event, entry.record.at));
        order = Order::fold(id, order, events).map_err(corrupt)?;
        if !more {
            break;
        }
    }
    let Some(order) = order else { return Ok(None) };
    let customer = order_customer::Entity::find_by_id(id).one(db).await?;
    let name = customer.map(|customer| customer.customer_name);
    Ok(Some(order.placed_by(name.unwrap_or_default())))
}

/// The events of an order after a version, oldest first, at most `limit`.
///
/// # Errors
/// As [`load`].
pub async fn list(
    db: &impl ConnectionTrait,
    id: Uuid,
    after: i64,
    limit: u64,
) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for record in outbox::history(db, &id.to_string(), after, limit).await? {
        for record in upcast(record)? {
            // An old record may stand for events before its own version.
            if record.version > after && (entries.len() as u64) < limit {
                let event = record::event(&record)?;
                entries.push(Entry { event, record });
            }
        }
    }
    Ok(entries)
}

fn corrupt(error: BrokenHistory) -> Error {
    Error::Corrupt(error.to_string())
}

//! What an order had become at some of its versions, so that reading it does not take its whole history.
//!
//! Snapshots only save time. They hold no names, and one of another schema is passed over.

use chassis::{
    clock,
    db::{Error, Tx},
};
use prost::Message as _;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    entity::order_snapshot::{ActiveModel, Column, Entity},
    record,
};
use crate::{
    domain::order::{Order, Parts},
    message,
};
use contracts::caravan::ordering::v1 as pb;

/// Events between two snapshots of an order, and so the most that reading it takes beside a snapshot.
pub const SNAPSHOT_EVERY: i64 = 16;
/// What today's snapshots say and how. Count it up whenever an order has a field more that events fill.
const SCHEMA: i32 = 1;

/// Stores what the order is, where it is time for that.
pub(super) async fn take(tx: &Tx, order: &Order) -> Result<(), Error> {
    let parts = order.parts();
    if parts.version % SNAPSHOT_EVERY != 0 {
        return Ok(());
    }
    let row = ActiveModel {
        order_id: Set(parts.id),
        version: Set(parts.version),
        schema: Set(SCHEMA),
        at_us: Set(clock::to_us(parts.updated)),
        state: Set(encode(order)),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// The newest snapshot of the order, among those that were true at `as_of`.
pub(super) async fn newest(
    db: &impl ConnectionTrait,
    id: Uuid,
    as_of: Option<OffsetDateTime>,
) -> Result<Option<Order>, Error> {
    let mut query = Entity::find()
        .filter(Column::OrderId.eq(id))
        .filter(Column::Schema.eq(SCHEMA));
    if let Some(as_of) = as_of {
        query = query.filter(Column::AtUs.lte(clock::to_us(as_of)));
    }
    let Some(row) = query.order_by_desc(Column::Version).one(db).await? else {
        return Ok(None);
    };
    decode(id, row.version, row.at_us, &row.state).map(Some)
}

fn encode(order: &Order) -> Vec<u8> {
    let mut state = message::order(order);
    state.customer_name.clear();
    state.encode_to_vec()
}

fn decode(id: Uuid, version: i64, at_us: i64, state: &[u8]) -> Result<Order, Error> {
    let state: pb::Order = record::decode(state)?;
    let (status, created) = (state.status(), state.create_time);
    Ok(Order::restore(Parts {
        id,
        customer_id: record::id(&state.customer_id)?,
        customer_name: String::new(),
        status: record::status(status)?,
        lines: state.lines.into_iter().map(record::line).collect(),
        total: state.total.map(record::money),
        rejection: state.rejection.map(record::rejection),
        created: created
            .as_ref()
            .and_then(clock::from_timestamp)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        updated: clock::from_us(at_us),
        version,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        event::{Event, Placed},
        money::Money,
        order::{Line, Rejection},
    };

    fn money() -> impl Strategy<Value = Money> {
        ("[A-Z]{3}", any::<i64>()).prop_map(|(currency_code, minor_units)| Money {
            currency_code,
            minor_units,
        })
    }

    fn rejection() -> impl Strategy<Value = Rejection> {
        (".{0,9}", ".{0,9}").prop_map(|(reason, message)| Rejection { reason, message })
    }

    fn placed() -> impl Strategy<Value = Placed> {
        let line = (".{1,9}", ".{0,9}", 1..1000, proptest::option::of(money())).prop_map(
            |(sku, name, quantity, unit_price)| Line {
                sku,
                name,
                quantity,
                unit_price,
            },
        );
        let lines = proptest::collection::vec(line, 0..4);
        (lines, proptest::option::of(money())).prop_map(|(lines, total)| Placed {
            customer_id: Uuid::now_v7(),
            customer_name: String::new(),
            lines,
            total,
        })
    }

    fn first() -> impl Strategy<Value = Event> {
        prop_oneof![
            placed().prop_map(Event::Placed),
            (placed(), rejection()).prop_map(|(placed, why)| Event::Refused(placed, why)),
        ]
    }

    fn later() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Confirmed),
            rejection().prop_map(Event::Rejected),
            (any::<bool>(), ".{0,9}").prop_map(|(was_confirmed, reason)| Event::Cancelled {
                was_confirmed,
                reason
            }),
            ".{0,9}".prop_map(|reason| Event::ReturnRequested { reason }),
            Just(Event::Returned),
            ".{0,9}".prop_map(|message| Event::ReturnDeclined { message }),
        ]
    }

    proptest! {
        /// Whatever happened, and wherever the snapshot was taken.
        #[test]
        fn a_snapshot_and_the_rest_are_as_good_as_everything(
            first in first(),
            later in proptest::collection::vec(later(), 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let id = Uuid::now_v7();
            let events: Vec<_> = std::iter::once(&first)
                .chain(&later)
                .zip((0..).map(clock::from_us))
                .collect();
            let whole = Order::fold(id, None, events.iter().copied()).expect("one order");
            let (before, after) = events.split_at(1 + cut.index(events.len()));
            let order = Order::fold(id, None, before.iter().copied());
            let order = order.expect("one order").expect("placed");
            let parts = order.parts();
            let read = decode(id, parts.version, clock::to_us(parts.updated), &encode(&order));
            let read = read.expect("just written");
            prop_assert_eq!(&read, &order);
            let replayed = Order::fold(id, Some(read), after.iter().copied());
            prop_assert_eq!(replayed.expect("one order"), whole);
        }
    }
}

//! Holds to rows and back.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::entity::reservation::{
    ActiveModel, Column, Entity, LineRow, LineRows, Model, State as Row,
};
use crate::domain::{
    lines::{Line, Lines},
    reservation::{Parts, Reservation, State},
};

/// Stores a new hold. False, and nothing is stored, where the order has one.
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, reservation: &Reservation) -> Result<bool, Error> {
    let parts = reservation.parts();
    let row = ActiveModel {
        order_id: Set(parts.order),
        reservation_id: Set(parts.id),
        lines: Set(rows(&parts.lines)),
        state: Set(row_state(parts.state)),
        expires_at_us: Set(clock::to_us(parts.expires)),
        version: Set(parts.version),
    };
    let mut skip_known = OnConflict::column(Column::OrderId);
    skip_known.do_nothing();
    let inserted = Entity::insert(row)
        .on_conflict(skip_known)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted == 1)
}

/// Stores what became of a hold.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since it was read.
pub async fn save(tx: &Tx, reservation: &Reservation) -> Result<(), Error> {
    let parts = reservation.parts();
    let saved = Entity::update_many()
        .col_expr(Column::State, Expr::value(row_state(parts.state)))
        .col_expr(Column::Version, Expr::value(parts.version + 1))
        .filter(Column::OrderId.eq(parts.order))
        .filter(Column::Version.eq(parts.version))
        .exec(tx)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// The order's hold.
///
/// # Errors
/// The database's own.
pub async fn find(tx: &Tx, order: Uuid) -> Result<Option<Reservation>, Error> {
    let row = Entity::find_by_id(order).one(tx).await?;
    row.map(reservation).transpose()
}

/// The order's hold, locked until the unit of work ends.
///
/// # Errors
/// The database's own.
pub async fn lock(tx: &Tx, order: Uuid) -> Result<Option<Reservation>, Error> {
    let row = Entity::find_by_id(order).lock_exclusive().one(tx).await?;
    row.map(reservation).transpose()
}

/// Up to `limit` orders whose hold has ended by `now`, longest ended first.
///
/// # Errors
/// The database's own.
pub async fn overdue(
    db: &impl ConnectionTrait,
    now: OffsetDateTime,
    limit: u64,
) -> Result<Vec<Uuid>, Error> {
    let orders = Entity::find()
        .select_only()
        .column(Column::OrderId)
        .filter(Column::State.eq(Row::Held))
        .filter(Column::ExpiresAtUs.lte(clock::to_us(now)))
        .order_by_asc(Column::ExpiresAtUs)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(orders)
}

fn reservation(row: Model) -> Result<Reservation, Error> {
    let lines = row
        .lines
        .0
        .into_iter()
        .map(|LineRow { sku, quantity }| Line { sku, quantity });
    let lines = Lines::of(lines)
        .ok_or_else(|| Error::Corrupt(format!("lines of order {}", row.order_id)))?;
    Ok(Reservation::restore(Parts {
        id: row.reservation_id,
        order: row.order_id,
        lines,
        state: match row.state {
            Row::Held => State::Held,
            Row::Expired => State::Expired,
            Row::Released => State::Released,
            Row::Committed => State::Committed,
            Row::Returned => State::Returned,
        },
        expires: clock::from_us(row.expires_at_us),
        version: row.version,
    }))
}

fn rows(lines: &Lines) -> LineRows {
    LineRows(
        lines
            .iter()
            .map(|Line { sku, quantity }| LineRow {
                sku: sku.clone(),
                quantity: *quantity,
            })
            .collect(),
    )
}

fn row_state(state: State) -> Row {
    match state {
        State::Held => Row::Held,
        State::Expired => Row::Expired,
        State::Released => Row::Released,
        State::Committed => Row::Committed,
        State::Returned => Row::Returned,
    }
}

//! Signing keys to rows and back.

use std::time::Duration;

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};
use time::OffsetDateTime;

pub use super::entity::signing_key::Model as Stored;
use super::entity::signing_key::{ActiveModel, Column, Entity};

/// Stores a key's PKCS#8, unless another replica was first with this generation.
///
/// # Errors
/// The database's own.
pub async fn offer(
    tx: &Tx,
    generation: i64,
    private_key: Vec<u8>,
    signs_from: OffsetDateTime,
    longest_token: Duration,
) -> Result<(), Error> {
    let row = ActiveModel {
        generation: Set(generation),
        private_key: Set(private_key),
        created_at_us: Set(clock::now_us()),
        signs_from_us: Set(clock::to_us(signs_from)),
        longest_token_us: Set(micros(longest_token)),
    };
    let mut first_wins = OnConflict::column(Column::Generation);
    first_wins.do_nothing();
    Entity::insert(row)
        .on_conflict(first_wins)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Notes that tokens may last this long: keys stay for longer where it is more than before.
///
/// # Errors
/// The database's own.
pub async fn lengthen(tx: &Tx, longest_token: Duration) -> Result<(), Error> {
    let longest = micros(longest_token);
    Entity::update_many()
        .col_expr(Column::LongestTokenUs, Expr::value(longest))
        .filter(Column::LongestTokenUs.lt(longest))
        .exec(tx)
        .await?;
    Ok(())
}

/// Removes the keys of these generations.
///
/// # Errors
/// The database's own.
pub async fn remove(tx: &Tx, generations: Vec<i64>) -> Result<(), Error> {
    Entity::delete_many()
        .filter(Column::Generation.is_in(generations))
        .exec(tx)
        .await?;
    Ok(())
}

/// Every key, newest first.
///
/// # Errors
/// The database's own.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Stored>, Error> {
    let rows = Entity::find()
        .order_by_desc(Column::Generation)
        .all(db)
        .await?;
    Ok(rows)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

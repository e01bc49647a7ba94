//! Access tokens that were revoked, by their ids, until they would have ended.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
    sea_query::OnConflict,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::entity::revoked_token::{ActiveModel, Column, Entity};

/// Remembers that a token is revoked. False where it was already.
///
/// # Errors
/// The database's own.
pub async fn put(tx: &Tx, id: Uuid, ends: OffsetDateTime) -> Result<bool, Error> {
    let row = ActiveModel {
        id: Set(id),
        ends_at_us: Set(clock::to_us(ends)),
    };
    let mut skip_known = OnConflict::column(Column::Id);
    skip_known.do_nothing();
    let put = Entity::insert(row)
        .on_conflict(skip_known)
        .exec_without_returning(tx)
        .await?;
    Ok(put == 1)
}

/// Whether a token is revoked.
///
/// # Errors
/// The database's own.
pub async fn has(db: &impl ConnectionTrait, id: Uuid) -> Result<bool, Error> {
    Ok(Entity::find_by_id(id).one(db).await?.is_some())
}

/// Forgets up to `most` tokens that are over; answers how many.
///
/// # Errors
/// The database's own.
pub async fn purge(tx: &Tx, now: OffsetDateTime, most: u64) -> Result<u64, Error> {
    let over: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::EndsAtUs.lte(clock::to_us(now)))
        .limit(most)
        .into_tuple()
        .all(tx)
        .await?;
    let purged = Entity::delete_many()
        .filter(Column::Id.is_in(over))
        .exec(tx)
        .await?;
    Ok(purged.rows_affected)
}

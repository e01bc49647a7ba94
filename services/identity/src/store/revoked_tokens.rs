//! Access tokens that were revoked to rows and back, until they would have ended.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::OnConflict,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::entity::revoked_token::{ActiveModel, Column, Entity, Model};
use crate::domain::revocation::Revocation;

/// Remembers what is revoked; in the place of what was revoked before of the same.
///
/// # Errors
/// The database's own.
pub async fn put(tx: &Tx, revocations: Vec<Revocation>) -> Result<(), Error> {
    if revocations.is_empty() {
        return Ok(());
    }
    let rows = revocations.into_iter().map(|revocation| ActiveModel {
        id: Set(revocation.id),
        ends_at_us: Set(clock::to_us(revocation.ends)),
        made_until_us: Set(revocation.made_until.map(clock::to_us)),
        revoked_at_us: Set(clock::to_us(revocation.revoked)),
    });
    let mut newest_wins = OnConflict::column(Column::Id);
    newest_wins.update_columns([Column::EndsAtUs, Column::MadeUntilUs, Column::RevokedAtUs]);
    Entity::insert_many(rows)
        .on_conflict(newest_wins)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// What was revoked of these.
///
/// # Errors
/// The database's own.
pub async fn of(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<Vec<Revocation>, Error> {
    let rows = Entity::find().filter(Column::Id.is_in(ids)).all(db).await?;
    Ok(rows.into_iter().map(revocation).collect())
}

/// What was revoked since then and is not over, oldest first.
///
/// # Errors
/// The database's own.
pub async fn since(
    db: &impl ConnectionTrait,
    then: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<Vec<Revocation>, Error> {
    let rows = Entity::find()
        .filter(Column::RevokedAtUs.gte(clock::to_us(then)))
        .filter(Column::EndsAtUs.gt(clock::to_us(now)))
        .order_by_asc(Column::RevokedAtUs)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(revocation).collect())
}

fn revocation(row: Model) -> Revocation {
    Revocation {
        id: row.id,
        made_until: row.made_until_us.map(clock::from_us),
        ends: clock::from_us(row.ends_at_us),
        revoked: clock::from_us(row.revoked_at_us),
    }
}

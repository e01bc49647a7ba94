//! Failures of those who guess, to rows and back: all replicas count in the same rows.

use std::collections::HashMap;

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use super::entity::failure::{ActiveModel, Column, Entity, Model};
use crate::domain::throttle::{Counted, Key, Tally};

/// These, with their failures.
///
/// # Errors
/// The database's own.
pub async fn of<'a>(
    db: &impl ConnectionTrait,
    keys: &[Key<'a>],
) -> Result<Vec<Counted<'a>>, Error> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(keys.iter().map(id)))
        .all(db)
        .await?;
    counted(keys, rows)
}

/// The same, for whoever changes them: tries at other replicas wait until this unit of work has ended.
///
/// # Errors
/// The database's own.
pub async fn locked<'a>(
    tx: &Tx,
    keys: &[Key<'a>],
    now: OffsetDateTime,
) -> Result<Vec<Counted<'a>>, Error> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<_> = keys.iter().map(id).collect();
    // In this order everywhere, so that none waits for another one in a circle.
    ids.sort_unstable();
    // Only what is there can be locked.
    let none = Tally {
        forgotten: now,
        waits: 0,
        waits_until: None,
    };
    let mut skip_known = OnConflict::column(Column::Id);
    skip_known.do_nothing();
    Entity::insert_many(ids.iter().map(|id| row(*id, &none)))
        .on_conflict(skip_known)
        .exec_without_returning(tx)
        .await?;
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids))
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(tx)
        .await?;
    counted(keys, rows)
}

/// Stores what has changed since it was read.
///
/// # Errors
/// The database's own.
pub async fn save(tx: &Tx, counted: &[Counted<'_>]) -> Result<(), Error> {
    let (known, none): (Vec<_>, Vec<_>) = counted
        .iter()
        .map(|counted| (id(&counted.key), counted.tally))
        .partition(|(_, tally)| tally.is_some());
    let rows = known
        .iter()
        .filter_map(|(id, tally)| Some(row(*id, tally.as_ref()?)));
    let mut newest_wins = OnConflict::column(Column::Id);
    newest_wins.update_columns([
        Column::ForgottenAtUs,
        Column::Waits,
        Column::WaitsUntilUs,
        Column::EndsAtUs,
    ]);
    if !known.is_empty() {
        Entity::insert_many(rows)
            .on_conflict(newest_wins)
            .exec_without_returning(tx)
            .await?;
    }
    if !none.is_empty() {
        Entity::delete_many()
            .filter(Column::Id.is_in(none.into_iter().map(|(id, _)| id)))
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// 16 bytes of the SHA-256 of what is counted.
fn id(key: &Key<'_>) -> Uuid {
    let text = match key {
        Key::Account(email) => format!("account:{email}"),
        Key::Address(address) => format!("address:{address}"),
    };
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(id)
}

fn counted<'a>(keys: &[Key<'a>], rows: Vec<Model>) -> Result<Vec<Counted<'a>>, Error> {
    let mut tallies = HashMap::new();
    for row in rows {
        tallies.insert(row.id, tally(&row)?);
    }
    let counted = keys.iter().map(|key| Counted {
        key: *key,
        tally: tallies.get(&id(key)).copied(),
    });
    Ok(counted.collect())
}

fn row(id: Uuid, tally: &Tally) -> ActiveModel {
    ActiveModel {
        id: Set(id),
        forgotten_at_us: Set(clock::to_us(tally.forgotten)),
        waits: Set(i32::try_from(tally.waits).unwrap_or(i32::MAX)),
        waits_until_us: Set(tally.waits_until.map(clock::to_us)),
        ends_at_us: Set(clock::to_us(tally.ends())),
    }
}

fn tally(row: &Model) -> Result<Tally, Error> {
    let corrupt = |_| Error::Corrupt(format!("waits of failures {}", row.id));
    Ok(Tally {
        forgotten: clock::from_us(row.forgotten_at_us),
        waits: u32::try_from(row.waits).map_err(corrupt)?,
        waits_until: row.waits_until_us.map(clock::from_us),
    })
}

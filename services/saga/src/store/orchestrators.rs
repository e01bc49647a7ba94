//! Who works on sagas, and on how many.

use std::collections::BTreeMap;

use chassis::db::{Error, Tx};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::entity::{
    orchestrator::{ActiveModel, Column, Entity},
    saga,
};
use crate::domain::Micros;

/// Notes that an orchestrator is there, and forgets those that were not seen since `gone`.
///
/// # Errors
/// The database's own.
pub async fn seen(tx: &Tx, id: Uuid, now: Micros, gone: Micros) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(id),
        seen_at_us: Set(now),
    };
    let again = OnConflict::column(Column::Id)
        .update_column(Column::SeenAtUs)
        .to_owned();
    Entity::insert(row)
        .on_conflict(again)
        .exec_without_returning(tx)
        .await?;
    Entity::delete_many()
        .filter(Column::SeenAtUs.lt(gone))
        .exec(tx)
        .await?;
    Ok(())
}

/// Sagas at work by orchestrator, of all that were seen since `alive`; those without any, too.
///
/// # Errors
/// The database's own.
pub async fn at_work(
    db: &impl ConnectionTrait,
    alive: Micros,
) -> Result<BTreeMap<Uuid, i64>, Error> {
    let known: Vec<Uuid> = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::SeenAtUs.gte(alive))
        .into_tuple()
        .all(db)
        .await?;
    let mut counts: BTreeMap<_, _> = known.into_iter().map(|id| (id, 0)).collect();
    let owned: Vec<(Uuid, i64)> = saga::Entity::find()
        .select_only()
        .column(saga::Column::Owner)
        .column_as(saga::Column::Id.count(), "sagas")
        .filter(saga::Column::Owner.is_not_null())
        .group_by(saga::Column::Owner)
        .into_tuple()
        .all(db)
        .await?;
    for (owner, sagas) in owned {
        if let Some(count) = counts.get_mut(&owner) {
            *count = sagas;
        }
    }
    Ok(counts)
}

//! What is forgotten of sagas that have ended.

use chassis::db::{Error, Tx};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use super::entity::{
    record::{Column as LogColumn, Entity as Log},
    saga::{Column, Entity, State},
};
use crate::domain::Micros;

/// A saga that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The saga.
    pub id: Uuid,
    /// When it ended, or was last changed.
    pub at: Micros,
    /// Whether its input and replies are forgotten already.
    pub erased: bool,
}

/// Up to `limit` sagas behind `after` that began before a time, oldest first: where each stands as far as it has ended,
/// and the last id that was looked at.
///
/// # Errors
/// The database's own.
pub async fn page(
    db: &impl ConnectionTrait,
    after: Option<Uuid>,
    before: Uuid,
    limit: u64,
) -> Result<(Vec<Ended>, Option<Uuid>), Error> {
    let mut query = Entity::find()
        .select_only()
        .columns([
            Column::Id,
            Column::State,
            Column::UpdatedAtUs,
            Column::Erased,
        ])
        .filter(Column::Id.lt(before));
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after));
    }
    let rows: Vec<(Uuid, State, i64, bool)> = query
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    let last = rows.last().map(|row| row.0);
    let ended = rows
        .into_iter()
        .filter(|(_, state, ..)| matches!(state, State::Completed | State::Compensated))
        .map(|(id, _, at, erased)| Ended { id, at, erased })
        .collect();
    Ok((ended, last))
}

/// Removes sagas and their logs.
///
/// # Errors
/// The database's own.
pub async fn remove(tx: &Tx, sagas: &[Uuid]) -> Result<(), Error> {
    let ids = || sagas.iter().copied();
    Log::delete_many()
        .filter(LogColumn::SagaId.is_in(ids()))
        .exec(tx)
        .await?;
    Entity::delete_many()
        .filter(Column::Id.is_in(ids()))
        .exec(tx)
        .await?;
    Ok(())
}

/// Forgets the input, replies and payloads of sagas; of each input only its fingerprint stays.
///
/// # Errors
/// The database's own.
pub async fn erase(tx: &Tx, sagas: &[(Uuid, Vec<u8>)]) -> Result<(), Error> {
    Log::update_many()
        .col_expr(LogColumn::Reply, Expr::value(None::<Vec<u8>>))
        .filter(LogColumn::SagaId.is_in(sagas.iter().map(|(id, _)| *id)))
        .filter(LogColumn::Reply.is_not_null())
        .exec(tx)
        .await?;
    for (id, fingerprint) in sagas {
        Entity::update_many()
            .col_expr(Column::Input, Expr::value(fingerprint.clone()))
            .col_expr(Column::Erased, Expr::value(true))
            .filter(Column::Id.eq(*id))
            .exec(tx)
            .await?;
    }
    Ok(())
}

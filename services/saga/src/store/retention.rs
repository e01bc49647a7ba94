//! What is forgotten of sagas that have ended.

use chassis::db::{Error, Tx};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use super::entity::{
    record::{Column as LogColumn, Entity as Log},
    saga::{Column, Entity},
};
use crate::domain::Micros;

/// Up to `limit` sagas that ended before a time, longest ago first: of those whose input and replies are forgotten, or of
/// the others.
///
/// # Errors
/// The database's own.
pub async fn ended(
    db: &impl ConnectionTrait,
    erased: bool,
    before: Micros,
    limit: u64,
) -> Result<Vec<Uuid>, Error> {
    let query = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Erased.eq(erased))
        .filter(Column::EndedAtUs.lt(before))
        .order_by_asc(Column::EndedAtUs);
    Ok(query.limit(limit).into_tuple().all(db).await?)
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

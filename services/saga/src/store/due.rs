//! Which sagas need somebody, and who has them: claims and leases.

use std::collections::BTreeMap;

use chassis::db::{Error, Tx};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{
    entity::saga::{Column, Entity, Model, State},
    list::oldest,
};
use crate::domain::Micros;

/// Up to `limit` sagas that are due by a time, longest first: nobody's whose work is due, and somebody's whose lease is over.
///
/// # Errors
/// The database's own.
pub async fn due(
    db: &impl ConnectionTrait,
    before: Micros,
    limit: u64,
) -> Result<Vec<Model>, Error> {
    let query = Entity::find()
        .filter(Column::DueAtUs.lte(before))
        .order_by_asc(Column::DueAtUs);
    Ok(query.limit(limit).all(db).await?)
}

/// When the next saga is due; `None` where none ever is.
///
/// # Errors
/// The database's own.
pub async fn next_due(db: &impl ConnectionTrait) -> Result<Option<Micros>, Error> {
    let query = Entity::find()
        .select_only()
        .column(Column::DueAtUs)
        .filter(Column::DueAtUs.is_not_null());
    let first: Option<i64> = query
        .order_by_asc(Column::DueAtUs)
        .into_tuple()
        .one(db)
        .await?;
    Ok(first)
}

/// Claims a saga that was read as due: raises its epoch and takes the lease. False where somebody else was first.
///
/// # Errors
/// The database's own.
pub async fn claim(
    tx: &Tx,
    row: &Model,
    owner: Uuid,
    before: Micros,
    lease_until: Micros,
) -> Result<bool, Error> {
    let claimed = Entity::update_many()
        .col_expr(Column::Epoch, Expr::value(row.epoch + 1))
        .col_expr(Column::Owner, Expr::value(Some(owner)))
        .col_expr(Column::DueAtUs, Expr::value(Some(lease_until)))
        .col_expr(Column::RestsAt, Expr::value(None::<String>))
        .filter(Column::Id.eq(row.id))
        .filter(Column::Epoch.eq(row.epoch))
        .filter(Column::Records.eq(row.records))
        .filter(Column::DueAtUs.lte(before))
        .exec(tx)
        .await?;
    Ok(claimed.rows_affected == 1)
}

/// Renews the lease of a saga. False where somebody else has claimed it.
///
/// # Errors
/// The database's own.
pub async fn renew(
    tx: &Tx,
    id: Uuid,
    epoch: i64,
    owner: Uuid,
    lease_until: Micros,
) -> Result<bool, Error> {
    let renewed = Entity::update_many()
        .col_expr(Column::DueAtUs, Expr::value(Some(lease_until)))
        .filter(Column::Id.eq(id))
        .filter(Column::Epoch.eq(epoch))
        .filter(Column::Owner.eq(owner))
        .exec(tx)
        .await?;
    Ok(renewed.rows_affected == 1)
}

/// How many sagas have not ended, by definition and state, and when the first of each began. Counting a million that rest
/// reads their index once.
///
/// # Errors
/// The database's own.
pub async fn open(db: &impl ConnectionTrait) -> Result<Vec<Open>, Error> {
    let mut counts: BTreeMap<(String, &str), (State, i64)> = BTreeMap::new();
    for those in [Column::RestsAt.is_not_null(), Column::Owner.is_not_null()] {
        let rows: Vec<(String, State, i64)> = Entity::find()
            .select_only()
            .column(Column::Definition)
            .column(Column::State)
            .column_as(Column::Id.count(), "sagas")
            .filter(those)
            .group_by(Column::Definition)
            .group_by(Column::State)
            .into_tuple()
            .all(db)
            .await?;
        for (definition, state, sagas) in rows {
            let name = match state {
                State::Running => "running",
                State::Compensating => "compensating",
                _ => "parked",
            };
            let count = counts.entry((definition, name)).or_insert((state, 0));
            count.1 += sagas;
        }
    }
    let mut open = Vec::with_capacity(counts.len());
    for ((definition, _), (state, sagas)) in counts {
        let oldest = oldest(db, &definition, state).await?;
        // None: it ended in between.
        open.extend(oldest.map(|oldest| Open {
            definition,
            state,
            sagas,
            oldest,
        }));
    }
    Ok(open)
}

/// The sagas of a definition that are in a state.
#[derive(Clone, Debug)]
pub struct Open {
    /// The definition's name.
    pub definition: String,
    /// The state.
    pub state: State,
    /// How many.
    pub sagas: i64,
    /// When the first of them began. Microseconds since 1970.
    pub oldest: Micros,
}

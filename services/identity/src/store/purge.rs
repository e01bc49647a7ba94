//! Rows that go: those that are over, and those of an account that are one too many.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _,
    sea_query::IntoCondition,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::entity::{failure, login_challenge, mail, revoked_token, session};

/// Forgets up to `most` rows of each table whose rows end: answers how many went of the one that lost the most.
///
/// # Errors
/// The database's own.
pub async fn over(tx: &Tx, now: OffsetDateTime, most: u64) -> Result<u64, Error> {
    let now = clock::to_us(now);
    let by_table = [
        some::<session::Entity>(
            tx,
            session::Column::Id,
            session::Column::EndsAtUs.lte(now),
            most,
        )
        .await?,
        some::<mail::Entity>(tx, mail::Column::Id, mail::Column::EndsAtUs.lte(now), most).await?,
        some::<login_challenge::Entity>(
            tx,
            login_challenge::Column::Id,
            login_challenge::Column::EndsAtUs.lte(now),
            most,
        )
        .await?,
        some::<revoked_token::Entity>(
            tx,
            revoked_token::Column::Id,
            revoked_token::Column::EndsAtUs.lte(now),
            most,
        )
        .await?,
        some::<failure::Entity>(
            tx,
            failure::Column::Id,
            failure::Column::EndsAtUs.lte(now),
            most,
        )
        .await?,
    ];
    Ok(by_table.into_iter().max().unwrap_or(0))
}

/// Forgets up to `most` of these rows; answers how many.
///
/// # Errors
/// The database's own.
pub(super) async fn some<E: EntityTrait>(
    tx: &Tx,
    id: E::Column,
    these: impl IntoCondition,
    most: u64,
) -> Result<u64, Error> {
    let found = E::find()
        .select_only()
        .column(id)
        .filter(these)
        .order_by_asc(id)
        .limit(most)
        .into_query();
    let purged = E::delete_many()
        .filter(id.in_subquery(found))
        .exec(tx)
        .await?;
    Ok(purged.rows_affected)
}

/// Forgets all of an account's rows but the newest `kept`; answers which.
///
/// # Errors
/// The database's own.
pub(super) async fn all_but_newest<E: EntityTrait>(
    tx: &Tx,
    id: E::Column,
    of_account: Condition,
    age: E::Column,
    kept: u64,
) -> Result<Vec<Uuid>, Error> {
    let superfluous: Vec<Uuid> = E::find()
        .select_only()
        .column(id)
        .filter(of_account)
        .order_by_desc(age)
        .offset(kept)
        // SQLite knows no offset without a limit.
        .limit(u64::from(u32::MAX))
        .into_tuple()
        .all(tx)
        .await?;
    if !superfluous.is_empty() {
        E::delete_many()
            .filter(id.is_in(superfluous.clone()))
            .exec(tx)
            .await?;
    }
    Ok(superfluous)
}

//! Logins to rows and back. A session that has ended has no row.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::Expr,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    entity::session::{ActiveModel, Column, Entity, Model},
    purge, revoked_tokens,
};
use crate::domain::{
    revocation::{Moment, Revocation},
    session::Session,
};

/// Most sessions of one account; with one more the longest unused ends.
pub const MAX_SESSIONS: u64 = 50;

/// Stores a new login.
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, session: &Session) -> Result<(), Error> {
    let of_account = Column::AccountId.eq(session.account).into();
    let (age, kept) = (Column::RefreshedAtUs, MAX_SESSIONS - 1);
    // Nobody wanted those to end that make room: what they have given out runs out by itself.
    purge::all_but_newest::<Entity>(tx, Column::Id, of_account, age, kept).await?;
    let row = ActiveModel {
        id: Set(session.id),
        account_id: Set(session.account),
        client: Set(session.client.clone()),
        secret: Set(session.secret.clone()),
        generation: Set(session.generation.into()),
        created_at_us: Set(clock::to_us(session.created)),
        refreshed_at_us: Set(clock::to_us(session.refreshed)),
        ends_at_us: Set(clock::to_us(session.ends())),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Stores a session after one refresh.
///
/// # Errors
/// [`Error::Conflict`] where somebody else refreshed or ended it since it was read.
pub async fn save(tx: &Tx, session: &Session) -> Result<(), Error> {
    let saved = Entity::update_many()
        .col_expr(
            Column::Generation,
            Expr::value(i64::from(session.generation)),
        )
        .col_expr(
            Column::RefreshedAtUs,
            Expr::value(clock::to_us(session.refreshed)),
        )
        .col_expr(Column::EndsAtUs, Expr::value(clock::to_us(session.ends())))
        .filter(Column::Id.eq(session.id))
        .filter(Column::Generation.eq(i64::from(session.generation) - 1))
        .exec(tx)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// The session with this id.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Session>, Error> {
    let row = Entity::find_by_id(id).one(db).await?;
    row.map(session).transpose()
}

/// The sessions of an account that are not over, last used first.
///
/// # Errors
/// The database's own.
pub async fn of_account(
    db: &impl ConnectionTrait,
    account: Uuid,
    now: OffsetDateTime,
) -> Result<Vec<Session>, Error> {
    let rows = Entity::find()
        .filter(Column::AccountId.eq(account))
        .filter(Column::EndsAtUs.gt(clock::to_us(now)))
        .order_by_desc(Column::RefreshedAtUs)
        .all(db)
        .await?;
    rows.into_iter().map(session).collect()
}

/// Ends a session of this account. False where it has none with this id.
///
/// # Errors
/// The database's own.
pub async fn end(tx: &Tx, id: Uuid, account: Uuid, moment: Moment) -> Result<bool, Error> {
    let ended = Entity::delete_many()
        .filter(Column::Id.eq(id))
        .filter(Column::AccountId.eq(account))
        .exec(tx)
        .await?;
    let is_ended = ended.rows_affected == 1;
    revoke(tx, is_ended.then_some(id), moment).await?;
    Ok(is_ended)
}

/// Ends all sessions of an account; answers how many.
///
/// # Errors
/// The database's own.
pub async fn end_all(tx: &Tx, account: Uuid, moment: Moment) -> Result<usize, Error> {
    let of_account = Column::AccountId.eq(account).into();
    let age = Column::RefreshedAtUs;
    let ended = purge::all_but_newest::<Entity>(tx, Column::Id, of_account, age, 0).await?;
    let count = ended.len();
    revoke(tx, ended, moment).await?;
    Ok(count)
}

/// What a session has given out ends with it.
async fn revoke(
    tx: &Tx,
    sessions: impl IntoIterator<Item = Uuid>,
    moment: Moment,
) -> Result<(), Error> {
    let sessions = sessions.into_iter();
    let revoked = sessions
        .map(|id| Revocation::for_good(id, moment))
        .collect();
    revoked_tokens::put(tx, revoked).await
}

fn session(row: Model) -> Result<Session, Error> {
    let generation = u32::try_from(row.generation)
        .map_err(|_| Error::Corrupt(format!("generation of session {}", row.id)))?;
    Ok(Session {
        id: row.id,
        account: row.account_id,
        client: row.client,
        secret: row.secret,
        generation,
        created: clock::from_us(row.created_at_us),
        refreshed: clock::from_us(row.refreshed_at_us),
    })
}

//! Logins that wait for a code, to rows and back. One that was met, or bore too many wrong codes, has no row.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    entity::login_challenge::{ActiveModel, Column, Entity, Model},
    purge,
};
use crate::domain::second_factor::{Challenge, MAX_TRIES_OF_CHALLENGE};

/// Most logins of one account that wait; with one more the oldest is over.
pub const MAX_CHALLENGES: u64 = 10;

/// Stores a new login that waits; `token_hash` is of what its client has to show.
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, challenge: &Challenge, token_hash: Vec<u8>) -> Result<(), Error> {
    let of_account = Column::AccountId.eq(challenge.account).into();
    let (age, kept) = (Column::EndsAtUs, MAX_CHALLENGES - 1);
    purge::all_but_newest::<Entity>(tx, Column::Id, of_account, age, kept).await?;
    let row = ActiveModel {
        id: Set(challenge.id),
        account_id: Set(challenge.account),
        token_hash: Set(token_hash),
        client: Set(challenge.client.clone()),
        tries: Set(tries(challenge)),
        ends_at_us: Set(clock::to_us(challenge.ends)),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// The login that waits for whoever shows this, where it can still be met.
///
/// # Errors
/// The database's own.
pub async fn find(
    tx: &Tx,
    token_hash: Vec<u8>,
    now: OffsetDateTime,
) -> Result<Option<Challenge>, Error> {
    let row = Entity::find()
        .filter(Column::TokenHash.eq(token_hash))
        .one(tx)
        .await?;
    let challenge = row.map(challenge).transpose()?;
    Ok(challenge.filter(|challenge| challenge.is_open(now)))
}

/// One more wrong code; the last one ends it.
///
/// # Errors
/// [`Error::Conflict`] where somebody else tried one since it was read.
pub async fn refuse(tx: &Tx, challenge: &Challenge) -> Result<(), Error> {
    if challenge.tries + 1 >= MAX_TRIES_OF_CHALLENGE {
        return end(tx, challenge.id).await.map(drop);
    }
    let saved = Entity::update_many()
        .col_expr(Column::Tries, Expr::value(tries(challenge) + 1))
        .filter(Column::Id.eq(challenge.id))
        .filter(Column::Tries.eq(tries(challenge)))
        .exec(tx)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// Ends a login that waits. Whether it did still.
///
/// # Errors
/// The database's own.
pub async fn end(tx: &Tx, id: Uuid) -> Result<bool, Error> {
    let ended = Entity::delete_by_id(id).exec(tx).await?;
    Ok(ended.rows_affected == 1)
}

/// Ends all of an account's.
///
/// # Errors
/// The database's own.
pub async fn forget(tx: &Tx, account: Uuid) -> Result<(), Error> {
    Entity::delete_many()
        .filter(Column::AccountId.eq(account))
        .exec(tx)
        .await?;
    Ok(())
}

fn tries(challenge: &Challenge) -> i32 {
    i32::try_from(challenge.tries).unwrap_or(i32::MAX)
}

fn challenge(row: Model) -> Result<Challenge, Error> {
    let corrupt = |_| Error::Corrupt(format!("tries of challenge {}", row.id));
    Ok(Challenge {
        id: row.id,
        account: row.account_id,
        client: row.client,
        tries: u32::try_from(row.tries).map_err(corrupt)?,
        ends: clock::from_us(row.ends_at_us),
    })
}

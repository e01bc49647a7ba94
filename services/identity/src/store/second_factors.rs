//! Second factors and recovery codes to rows and back.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::entity::{
    recovery_code,
    second_factor::{ActiveModel, Column, Entity, Model},
};
use crate::domain::second_factor::SecondFactor;

/// Stores a secret that is still to be confirmed, in the place of an earlier such one. False, and nothing is stored, where the
/// account has a second factor.
///
/// # Errors
/// The database's own.
pub async fn enrol(tx: &Tx, factor: &SecondFactor) -> Result<bool, Error> {
    Entity::delete_many()
        .filter(Column::AccountId.eq(factor.account))
        .filter(Column::EnabledAtUs.is_null())
        .exec(tx)
        .await?;
    let row = ActiveModel {
        account_id: Set(factor.account),
        secret: Set(factor.secret.clone()),
        enabled_at_us: Set(factor.enabled.map(clock::to_us)),
        last_step: Set(factor.last_step),
        wrong_codes: Set(wrong_codes(factor)),
        waits_until_us: Set(factor.waits_until.map(clock::to_us)),
        version: Set(factor.version),
    };
    // Not a caught error: PostgreSQL would give up the whole unit of work.
    let mut skip_taken = OnConflict::column(Column::AccountId);
    skip_taken.do_nothing();
    let inserted = Entity::insert(row)
        .on_conflict(skip_taken)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted == 1)
}

/// Stores a second factor after one change.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since it was read.
pub async fn save(tx: &Tx, factor: &SecondFactor) -> Result<(), Error> {
    let saved = Entity::update_many()
        .col_expr(
            Column::EnabledAtUs,
            Expr::value(factor.enabled.map(clock::to_us)),
        )
        .col_expr(Column::LastStep, Expr::value(factor.last_step))
        .col_expr(Column::WrongCodes, Expr::value(wrong_codes(factor)))
        .col_expr(
            Column::WaitsUntilUs,
            Expr::value(factor.waits_until.map(clock::to_us)),
        )
        .col_expr(Column::Version, Expr::value(factor.version))
        .filter(Column::AccountId.eq(factor.account))
        .filter(Column::Version.eq(factor.version - 1))
        .exec(tx)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// An account's second factor, confirmed or not.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, account: Uuid) -> Result<Option<SecondFactor>, Error> {
    let row = Entity::find_by_id(account).one(db).await?;
    row.map(factor).transpose()
}

/// Forgets an account's second factor and recovery codes. Whether logins needed a code.
///
/// # Errors
/// The database's own.
pub async fn forget(tx: &Tx, account: Uuid) -> Result<bool, Error> {
    let known = find(tx, account).await?;
    Entity::delete_by_id(account).exec(tx).await?;
    forget_recovery_codes(tx, account).await?;
    Ok(known.is_some_and(|factor| factor.enabled.is_some()))
}

/// Stores what is kept of new recovery codes, in the place of all earlier ones.
///
/// # Errors
/// The database's own.
pub async fn put_recovery_codes(tx: &Tx, account: Uuid, hashes: Vec<Vec<u8>>) -> Result<(), Error> {
    forget_recovery_codes(tx, account).await?;
    let rows = hashes
        .into_iter()
        .map(|code_hash| recovery_code::ActiveModel {
            account_id: Set(account),
            code_hash: Set(code_hash),
        });
    recovery_code::Entity::insert_many(rows)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Uses a recovery code: whether there was such a one.
///
/// # Errors
/// The database's own.
pub async fn take_recovery_code(tx: &Tx, account: Uuid, hash: Vec<u8>) -> Result<bool, Error> {
    let taken = recovery_code::Entity::delete_by_id((account, hash))
        .exec(tx)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// How many recovery codes an account has left.
///
/// # Errors
/// The database's own.
pub async fn recovery_codes(db: &impl ConnectionTrait, account: Uuid) -> Result<u64, Error> {
    let codes = recovery_code::Entity::find()
        .filter(recovery_code::Column::AccountId.eq(account))
        .count(db)
        .await?;
    Ok(codes)
}

async fn forget_recovery_codes(tx: &Tx, account: Uuid) -> Result<(), Error> {
    recovery_code::Entity::delete_many()
        .filter(recovery_code::Column::AccountId.eq(account))
        .exec(tx)
        .await?;
    Ok(())
}

fn wrong_codes(factor: &SecondFactor) -> i32 {
    i32::try_from(factor.wrong_codes).unwrap_or(i32::MAX)
}

fn factor(row: Model) -> Result<SecondFactor, Error> {
    let corrupt = |_| Error::Corrupt(format!("wrong codes of account {}", row.account_id));
    Ok(SecondFactor {
        account: row.account_id,
        secret: row.secret,
        enabled: row.enabled_at_us.map(clock::from_us),
        last_step: row.last_step,
        wrong_codes: u32::try_from(row.wrong_codes).map_err(corrupt)?,
        waits_until: row.waits_until_us.map(clock::from_us),
        version: row.version,
    })
}

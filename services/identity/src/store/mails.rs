//! Mails to rows and back. One whose token was used has no row.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::entity::mail::{ActiveModel, Column, Entity, Kind as RowKind, Model};
use crate::domain::mail::{Kind, Mail};

/// Stores a mail. It takes the place of an earlier one of its kind: only the newest mail of a person counts.
///
/// # Errors
/// The database's own.
pub async fn put(tx: &Tx, mail: &Mail) -> Result<(), Error> {
    // Also for nobody: whether the address has an account must not show in the time that this takes.
    Entity::delete_many()
        .filter(Column::AccountId.eq(mail.account.unwrap_or(Uuid::nil())))
        .filter(Column::Kind.eq(row_kind(mail.kind)))
        .exec(tx)
        .await?;
    let row = ActiveModel {
        id: Set(mail.id),
        account_id: Set(mail.account),
        kind: Set(row_kind(mail.kind)),
        // Each row wants one of its own.
        token: Set(mail.token.clone().unwrap_or_else(|| mail.id.to_string())),
        ends_at_us: Set(clock::to_us(mail.ends)),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Uses a token: answers whose account it is for, once.
///
/// # Errors
/// The database's own.
pub async fn take(
    tx: &Tx,
    kind: Kind,
    token: &str,
    now: OffsetDateTime,
) -> Result<Option<Uuid>, Error> {
    let row = Entity::find()
        .filter(Column::Token.eq(token))
        .filter(Column::Kind.eq(row_kind(kind)))
        .filter(Column::EndsAtUs.gt(clock::to_us(now)))
        .one(tx)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let taken = Entity::delete_by_id(row.id).exec(tx).await?;
    // Somebody else may have been first.
    Ok(row.account_id.filter(|_| taken.rows_affected == 1))
}

/// Forgets an account's mails.
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

/// Forgets those of an account that bring a token.
///
/// # Errors
/// The database's own.
pub async fn forget_tokens(tx: &Tx, account: Uuid) -> Result<(), Error> {
    Entity::delete_many()
        .filter(Column::AccountId.eq(account))
        .filter(Column::Kind.is_in(Kind::WITH_TOKEN.map(row_kind)))
        .exec(tx)
        .await?;
    Ok(())
}

/// Mails that are still worth sending, oldest first, behind `after`.
///
/// # Errors
/// The database's own.
pub async fn pending(
    db: &impl ConnectionTrait,
    after: Uuid,
    most: u64,
    now: OffsetDateTime,
) -> Result<Vec<Mail>, Error> {
    let rows = Entity::find()
        .filter(Column::Id.gt(after))
        .filter(Column::AccountId.is_not_null())
        .filter(Column::EndsAtUs.gt(clock::to_us(now)))
        .order_by_asc(Column::Id)
        .limit(most)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(mail).collect())
}

fn mail(row: Model) -> Mail {
    let kind = kind(row.kind);
    Mail {
        id: row.id,
        account: row.account_id,
        kind,
        token: Kind::WITH_TOKEN.contains(&kind).then_some(row.token),
        ends: clock::from_us(row.ends_at_us),
    }
}

fn kind(row: RowKind) -> Kind {
    match row {
        RowKind::EmailVerification => Kind::EmailVerification,
        RowKind::PasswordReset => Kind::PasswordReset,
        RowKind::PasswordChanged => Kind::PasswordChanged,
        RowKind::SecondFactorEnabled => Kind::SecondFactorEnabled,
        RowKind::SecondFactorDisabled => Kind::SecondFactorDisabled,
        RowKind::SecondFactorReset => Kind::SecondFactorReset,
        RowKind::RecoveryCodesChanged => Kind::RecoveryCodesChanged,
        RowKind::RolesChanged => Kind::RolesChanged,
    }
}

fn row_kind(kind: Kind) -> RowKind {
    match kind {
        Kind::EmailVerification => RowKind::EmailVerification,
        Kind::PasswordReset => RowKind::PasswordReset,
        Kind::PasswordChanged => RowKind::PasswordChanged,
        Kind::SecondFactorEnabled => RowKind::SecondFactorEnabled,
        Kind::SecondFactorDisabled => RowKind::SecondFactorDisabled,
        Kind::SecondFactorReset => RowKind::SecondFactorReset,
        Kind::RecoveryCodesChanged => RowKind::RecoveryCodesChanged,
        Kind::RolesChanged => RowKind::RolesChanged,
    }
}

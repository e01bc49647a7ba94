//! Accounts and their passwords' hashes to rows and back.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::entity::{
    account::{ActiveModel, Column, Entity, Model, RoleNames, State as Row},
    credential,
};
use crate::domain::{
    account::{Account, Parts, Preferences, Role, State},
    email::Email,
};

/// Stores a new account with its password's hash. False, and nothing is stored, where its address is taken.
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, account: &Account, password_hash: &str) -> Result<bool, Error> {
    let parts = account.parts();
    let row = ActiveModel {
        id: Set(parts.id),
        email: Set(parts.email.as_str().to_owned()),
        email_verified: Set(parts.email_verified),
        display_name: Set(parts.display_name.clone()),
        roles: Set(RoleNames(account.role_names())),
        state: Set(row_state(parts.state)),
        locale: Set(parts.preferences.locale.clone()),
        newsletter: Set(parts.preferences.newsletter),
        created_at_us: Set(clock::to_us(parts.created)),
        version: Set(parts.version),
    };
    // Not a caught error: PostgreSQL would give up the whole unit of work.
    let mut skip_taken = OnConflict::column(Column::Email);
    skip_taken.do_nothing();
    if Entity::insert(row)
        .on_conflict(skip_taken)
        .exec_without_returning(tx)
        .await?
        == 0
    {
        return Ok(false);
    }
    let credential = credential::ActiveModel {
        account_id: Set(parts.id),
        password_hash: Set(password_hash.to_owned()),
    };
    credential::Entity::insert(credential)
        .exec_without_returning(tx)
        .await?;
    Ok(true)
}

/// Stores an account after one change.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since it was read.
pub async fn save(tx: &Tx, account: &Account) -> Result<(), Error> {
    let parts = account.parts();
    let row = ActiveModel {
        id: NotSet,
        email: Set(parts.email.as_str().to_owned()),
        email_verified: Set(parts.email_verified),
        display_name: Set(parts.display_name.clone()),
        roles: Set(RoleNames(account.role_names())),
        state: Set(row_state(parts.state)),
        locale: Set(parts.preferences.locale.clone()),
        newsletter: Set(parts.preferences.newsletter),
        created_at_us: NotSet,
        version: Set(parts.version),
    };
    let saved = Entity::update_many()
        .set(row)
        .filter(Column::Id.eq(parts.id))
        .filter(Column::Version.eq(parts.version - 1))
        .exec(tx)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// Stores a new hash of an account's password.
///
/// # Errors
/// The database's own.
pub async fn set_password(tx: &Tx, account: Uuid, password_hash: String) -> Result<(), Error> {
    let credential = credential::ActiveModel {
        account_id: Set(account),
        password_hash: Set(password_hash),
    };
    let mut replace = OnConflict::column(credential::Column::AccountId);
    replace.update_column(credential::Column::PasswordHash);
    credential::Entity::insert(credential)
        .on_conflict(replace)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Forgets an account's password: nobody logs in with it any more.
///
/// # Errors
/// The database's own.
pub async fn forget_password(tx: &Tx, account: Uuid) -> Result<(), Error> {
    credential::Entity::delete_by_id(account).exec(tx).await?;
    Ok(())
}

/// The account with this id.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Account>, Error> {
    Entity::find_by_id(id)
        .one(db)
        .await?
        .map(account)
        .transpose()
}

/// The accounts with these ids, as far as there are any, oldest first.
///
/// # Errors
/// The database's own.
pub async fn find_all(db: &impl ConnectionTrait, ids: Vec<Uuid>) -> Result<Vec<Account>, Error> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids))
        .order_by_asc(Column::Id)
        .all(db)
        .await?;
    rows.into_iter().map(account).collect()
}

/// The account with this address.
///
/// # Errors
/// The database's own.
pub async fn find_by_email(
    db: &impl ConnectionTrait,
    email: &Email,
) -> Result<Option<Account>, Error> {
    let row = Entity::find()
        .filter(Column::Email.eq(email.as_str()))
        .one(db)
        .await?;
    row.map(account).transpose()
}

/// The hash of an account's password.
///
/// # Errors
/// The database's own.
pub async fn password_hash(
    db: &impl ConnectionTrait,
    account: Uuid,
) -> Result<Option<String>, Error> {
    let row = credential::Entity::find_by_id(account).one(db).await?;
    Ok(row.map(|row| row.password_hash))
}

fn account(row: Model) -> Result<Account, Error> {
    let corrupt = |column: &str| Error::Corrupt(format!("{column} of account {}", row.id));
    let roles: Option<Vec<Role>> = row.roles.0.iter().map(|name| Role::parse(name)).collect();
    Ok(Account::restore(Parts {
        id: row.id,
        email: Email::parse(&row.email).ok_or_else(|| corrupt("email"))?,
        email_verified: row.email_verified,
        roles: roles.ok_or_else(|| corrupt("roles"))?,
        display_name: row.display_name,
        state: match row.state {
            Row::Active => State::Active,
            Row::Inactive => State::Inactive,
            Row::Closed => State::Closed,
        },
        preferences: Preferences {
            locale: row.locale,
            newsletter: row.newsletter,
        },
        created: clock::from_us(row.created_at_us),
        version: row.version,
    }))
}

fn row_state(state: State) -> Row {
    match state {
        State::Active => Row::Active,
        State::Inactive => Row::Inactive,
        State::Closed => Row::Closed,
    }
}

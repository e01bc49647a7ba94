//! Service clients to rows and back.

use std::collections::BTreeSet;

use chassis::{
    clock,
    db::{Error, Tx},
    page::Page,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::OnConflict,
};

use super::entity::client::{ActiveModel, Column, Entity, Model};
use crate::domain::client::{Client, SecretHash};

/// Stores a new client. False, and nothing is stored, where its name is taken.
///
/// # Errors
/// The database's own.
pub async fn insert(tx: &Tx, client: &Client) -> Result<bool, Error> {
    let mut skip_taken = OnConflict::column(Column::ClientId);
    skip_taken.do_nothing();
    let inserted = Entity::insert(row(client))
        .on_conflict(skip_taken)
        .exec_without_returning(tx)
        .await?;
    Ok(inserted == 1)
}

/// Stores a client after one change.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since it was read.
pub async fn save(tx: &Tx, client: &Client) -> Result<(), Error> {
    let saved = Entity::update_many()
        .set(row(client))
        .filter(Column::Id.eq(client.id))
        .filter(Column::Version.eq(client.version - 1))
        .exec(tx)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// The client with this name.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, client_id: &str) -> Result<Option<Client>, Error> {
    let row = Entity::find()
        .filter(Column::ClientId.eq(client_id))
        .one(db)
        .await?;
    row.map(client).transpose()
}

/// A page of clients, oldest first.
///
/// # Errors
/// The database's own.
pub async fn list(db: &impl ConnectionTrait, page: &Page) -> Result<Vec<Client>, Error> {
    let rows = Entity::find()
        .filter(Condition::all().add_option(page.after.map(|after| Column::Id.gt(after))))
        .order_by_asc(Column::Id)
        .limit(page.limit())
        .all(db)
        .await?;
    rows.into_iter().map(client).collect()
}

fn row(client: &Client) -> ActiveModel {
    let scopes: Vec<_> = client.scopes.iter().map(String::as_str).collect();
    let (previous_hash, previous_ends) = client.previous.unzip();
    ActiveModel {
        id: Set(client.id),
        client_id: Set(client.client_id.clone()),
        description: Set(client.description.clone()),
        scopes: Set(scopes.join(" ")),
        secret_hash: Set(client.secret.to_vec()),
        secret_made_at_us: Set(clock::to_us(client.secret_made)),
        previous_hash: Set(previous_hash.map(|hash| hash.to_vec())),
        previous_ends_at_us: Set(previous_ends.map(clock::to_us)),
        is_disabled: Set(client.is_disabled),
        created_at_us: Set(clock::to_us(client.created)),
        version: Set(client.version),
    }
}

fn client(row: Model) -> Result<Client, Error> {
    let hash = |bytes: &[u8]| {
        SecretHash::try_from(bytes)
            .map_err(|_| Error::Corrupt(format!("secret of client {}", row.id)))
    };
    let previous = row.previous_hash.as_deref().zip(row.previous_ends_at_us);
    let previous =
        previous.map(|(bytes, ends)| hash(bytes).map(|hash| (hash, clock::from_us(ends))));
    Ok(Client {
        id: row.id,
        secret: hash(&row.secret_hash)?,
        previous: previous.transpose()?,
        client_id: row.client_id,
        description: row.description,
        scopes: row
            .scopes
            .split_whitespace()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        secret_made: clock::from_us(row.secret_made_at_us),
        is_disabled: row.is_disabled,
        created: clock::from_us(row.created_at_us),
        version: row.version,
    })
}

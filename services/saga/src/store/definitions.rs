//! Definitions to rows and back.

use chassis::{
    clock,
    db::{Error, Tx},
};
use contracts::caravan::saga::v1 as pb;
use prost::Message as _;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};
use sha2::{Digest, Sha256};

use super::entity::definition::{ActiveModel, Column, Entity, Model};

/// One version of a definition.
#[derive(Clone, Debug)]
pub struct Stored {
    /// From 1.
    pub version: i32,
    /// What was registered.
    pub definition: pb::Definition,
    /// Encoded files of the participants that are not built in, as they were then.
    pub descriptors: Option<Vec<u8>>,
}

/// Stores a definition as a new version; the same content again keeps the version that it has.
///
/// # Errors
/// [`Error::Conflict`] where another version is stored at the same moment.
pub async fn register(
    tx: &Tx,
    definition: &pb::Definition,
    descriptors: Option<&[u8]>,
) -> Result<i32, Error> {
    let content = definition.encode_to_vec();
    // A participant with another contract makes another version.
    let hash = Sha256::new()
        .chain_update(&content)
        .chain_update(descriptors.unwrap_or_default())
        .finalize()
        .to_vec();
    let known = Entity::find()
        .filter(Column::Name.eq(&definition.name))
        .filter(Column::ContentHash.eq(hash.clone()))
        .one(tx)
        .await?;
    if let Some(known) = known {
        return Ok(known.version);
    }
    let newest = newest(tx, &definition.name)
        .await?
        .map_or(0, |stored| stored.version);
    let row = ActiveModel {
        name: Set(definition.name.clone()),
        version: Set(newest + 1),
        content: Set(content),
        content_hash: Set(hash),
        descriptors: Set(descriptors.map(<[u8]>::to_vec)),
        created_at_us: Set(clock::now_us()),
    };
    // Not a caught error: PostgreSQL would give up the whole unit of work.
    let skip_taken = OnConflict::new().do_nothing().to_owned();
    let inserted = Entity::insert(row)
        .on_conflict(skip_taken)
        .exec_without_returning(tx)
        .await?;
    if inserted == 1 {
        Ok(newest + 1)
    } else {
        Err(Error::Conflict)
    }
}

/// One version of a definition.
///
/// # Errors
/// The database's own.
pub async fn find(
    db: &impl ConnectionTrait,
    name: &str,
    version: i32,
) -> Result<Option<Stored>, Error> {
    Entity::find_by_id((name.to_owned(), version))
        .one(db)
        .await?
        .map(stored)
        .transpose()
}

/// The newest version of a definition.
///
/// # Errors
/// The database's own.
pub async fn newest(db: &impl ConnectionTrait, name: &str) -> Result<Option<Stored>, Error> {
    let row = Entity::find()
        .filter(Column::Name.eq(name))
        .order_by_desc(Column::Version)
        .one(db)
        .await?;
    row.map(stored).transpose()
}

/// The newest version of every definition, by name: name and version.
///
/// # Errors
/// The database's own.
pub async fn all_newest(db: &impl ConnectionTrait) -> Result<Vec<(String, i32)>, Error> {
    let rows = Entity::find()
        .select_only()
        .column(Column::Name)
        .column_as(Column::Version.max(), "version")
        .group_by(Column::Name)
        .order_by_asc(Column::Name)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows)
}

fn stored(row: Model) -> Result<Stored, Error> {
    let definition = pb::Definition::decode(row.content.as_slice()).map_err(|error| {
        Error::Corrupt(format!(
            "definitions.content of {} {}: {error}",
            row.name, row.version
        ))
    })?;
    Ok(Stored {
        version: row.version,
        definition,
        descriptors: row.descriptors,
    })
}

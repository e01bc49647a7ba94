//! Signing keys to rows and back.

use chassis::{
    clock,
    db::{Error, Tx},
};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, QueryOrder, sea_query::OnConflict};

use super::entity::signing_key::{ActiveModel, Column, Entity};

/// Stores a key's PKCS#8, unless another replica was first with this generation.
///
/// # Errors
/// The database's own.
pub async fn offer(tx: &Tx, generation: i64, private_key: Vec<u8>) -> Result<(), Error> {
    let row = ActiveModel {
        generation: Set(generation),
        private_key: Set(private_key),
        created_at_us: Set(clock::now_us()),
    };
    let mut first_wins = OnConflict::column(Column::Generation);
    first_wins.do_nothing();
    Entity::insert(row)
        .on_conflict(first_wins)
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// The PKCS#8 of every key, newest first.
///
/// # Errors
/// The database's own.
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<Vec<u8>>, Error> {
    let rows = Entity::find()
        .order_by_desc(Column::Generation)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.private_key).collect())
}

//! Copies of accounts to rows and back.

use chassis::db::Error;
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, EntityTrait, ExprTrait as _,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::entity::customer::{ActiveModel, Column, Entity};
use crate::domain::customer::Customer;

/// The copy of an account, where there is one.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Customer>, Error> {
    let row = Entity::find_by_id(id).one(db).await?;
    Ok(row.map(|row| Customer {
        id: row.id,
        display_name: row.display_name,
        active: row.active,
    }))
}

/// Stores what an account was at `as_of_us` (microseconds since 1970), unless something newer is known.
///
/// # Errors
/// The database's own.
pub async fn remember(
    db: &impl ConnectionTrait,
    customer: &Customer,
    as_of_us: i64,
) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(customer.id),
        display_name: Set(customer.display_name.clone()),
        active: Set(customer.active),
        as_of_us: Set(as_of_us),
    };
    // Two consumers write here, so events of one account may come out of order.
    let newer = Expr::col((Entity, Column::AsOfUs)).lt(as_of_us);
    let keep_newest = OnConflict::column(Column::Id)
        .update_columns([Column::DisplayName, Column::Active, Column::AsOfUs])
        .action_and_where(newer)
        .to_owned();
    Entity::insert(row)
        .on_conflict(keep_newest)
        .exec_without_returning(db)
        .await?;
    Ok(())
}

//! Copies of accounts to rows and back.

use chassis::db::Error;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait as _, QueryFilter, QuerySelect,
    QueryTrait,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::entity::{
    customer::{ActiveModel, Column, Entity},
    order, order_customer,
};
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

/// Stores what an account is in its `version`, unless that one or a newer is known already.
///
/// # Errors
/// The database's own.
pub async fn remember(
    db: &impl ConnectionTrait,
    customer: &Customer,
    version: i64,
) -> Result<(), Error> {
    let row = ActiveModel {
        id: Set(customer.id),
        display_name: Set(customer.display_name.clone()),
        active: Set(customer.active),
        version: Set(version),
    };
    // Two consumers write here, so events of one account may come out of order.
    let newer = Expr::col((Entity, Column::Version)).lt(version);
    let keep_newest = OnConflict::column(Column::Id)
        .update_columns([Column::DisplayName, Column::Active, Column::Version])
        .action_and_where(newer)
        .to_owned();
    Entity::insert(row)
        .on_conflict(keep_newest)
        .exec_without_returning(db)
        .await?;
    Ok(())
}

/// Erases the customer's name from all orders.
///
/// # Errors
/// The database's own.
pub async fn forget_name(db: &impl ConnectionTrait, id: Uuid) -> Result<(), Error> {
    let orders = order::Entity::find()
        .select_only()
        .column(order::Column::Id)
        .filter(order::Column::CustomerId.eq(id))
        .into_query();
    order_customer::Entity::update_many()
        .col_expr(order_customer::Column::CustomerName, Expr::value(""))
        .filter(order_customer::Column::OrderId.in_subquery(orders))
        .exec(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use chassis::db::Db;

    use super::*;
    use crate::store::migrations::Migrator;

    alone::on_both_engines!(the_newest_version_stays_whatever_comes_after_it);

    async fn the_newest_version_stays_whatever_comes_after_it(engine: alone::Engine) {
        let Some(url) = alone::database_url(engine) else {
            return;
        };
        let db = Db::open::<Migrator>(&url).await.expect("opens");
        let id = Uuid::now_v7();
        for (version, display_name, active, kept) in [
            (2, "Ada B.", false, "Ada B."),
            (1, "Ada", true, "Ada B."),
            (3, "Ada C.", true, "Ada C."),
            (2, "Ada B.", false, "Ada C."),
        ] {
            let customer = &Customer {
                id,
                display_name: display_name.to_owned(),
                active,
            };
            db.write(|tx| async move { remember(&tx, customer, version).await })
                .await
                .expect("written");
            let known = find(db.read(), id).await.expect("read").expect("there");
            assert_eq!(known.display_name, kept, "after version {version}");
        }
    }
}

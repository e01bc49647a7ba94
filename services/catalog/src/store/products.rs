//! Products to rows and back.

use chassis::{clock, db::Error};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::entity::product::{ActiveModel, Column, Entity, Model, State as Row};
use crate::domain::{
    money::Money,
    product::{Parts, Product, State},
};

/// Stores a new product. False, and nothing is stored, where its sku is taken.
///
/// # Errors
/// The database's own.
pub async fn insert(db: &impl ConnectionTrait, product: &Product) -> Result<bool, Error> {
    let parts = product.parts();
    let row = ActiveModel {
        id: Set(parts.id),
        sku: Set(parts.sku.clone()),
        name: Set(parts.name.clone()),
        description: Set(parts.description.clone()),
        currency_code: Set(parts.price.currency_code().to_owned()),
        price_minor: Set(parts.price.minor_units()),
        state: Set(row_state(parts.state)),
        created_at_us: Set(clock::to_us(parts.created)),
        updated_at_us: Set(clock::to_us(parts.updated)),
        version: Set(parts.version),
    };
    // Not a caught error: PostgreSQL would give up the whole unit of work.
    let mut skip_taken = OnConflict::column(Column::Sku);
    skip_taken.do_nothing();
    let inserted = Entity::insert(row)
        .on_conflict(skip_taken)
        .exec_without_returning(db)
        .await?;
    Ok(inserted == 1)
}

/// Stores a changed product.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since it was read.
pub async fn save(db: &impl ConnectionTrait, product: &Product) -> Result<(), Error> {
    let parts = product.parts();
    let saved = Entity::update_many()
        .col_expr(Column::Name, Expr::value(parts.name.clone()))
        .col_expr(Column::Description, Expr::value(parts.description.clone()))
        .col_expr(
            Column::CurrencyCode,
            Expr::value(parts.price.currency_code()),
        )
        .col_expr(Column::PriceMinor, Expr::value(parts.price.minor_units()))
        .col_expr(Column::State, Expr::value(row_state(parts.state)))
        .col_expr(
            Column::UpdatedAtUs,
            Expr::value(clock::to_us(parts.updated)),
        )
        .col_expr(Column::Version, Expr::value(parts.version + 1))
        .filter(Column::Id.eq(parts.id))
        .filter(Column::Version.eq(parts.version))
        .exec(db)
        .await?;
    if saved.rows_affected == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// The product with this id.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, id: Uuid) -> Result<Option<Product>, Error> {
    let row = Entity::find_by_id(id).one(db).await?;
    row.map(product).transpose()
}

/// The products on sale with these skus, by sku.
///
/// # Errors
/// The database's own.
pub async fn on_sale_with_skus(
    db: &impl ConnectionTrait,
    skus: &[String],
) -> Result<Vec<Product>, Error> {
    let rows = Entity::find()
        .filter(Column::Sku.is_in(skus))
        .filter(Column::State.eq(Row::OnSale))
        .order_by_asc(Column::Sku)
        .all(db)
        .await?;
    rows.into_iter().map(product).collect()
}

/// Up to `limit` products on sale whose id comes after `after`, oldest first.
///
/// # Errors
/// The database's own.
pub async fn on_sale_after(
    db: &impl ConnectionTrait,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Product>, Error> {
    let mut query = Entity::find().filter(Column::State.eq(Row::OnSale));
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after));
    }
    let rows = query.order_by_asc(Column::Id).limit(limit).all(db).await?;
    rows.into_iter().map(product).collect()
}

fn product(row: Model) -> Result<Product, Error> {
    let price = Money::new(row.currency_code, row.price_minor)
        .ok_or_else(|| Error::Corrupt("products.currency_code".to_owned()))?;
    Ok(Product::restore(Parts {
        id: row.id,
        sku: row.sku,
        name: row.name,
        description: row.description,
        price,
        state: match row.state {
            Row::OnSale => State::OnSale,
            Row::Retired => State::Retired,
        },
        created: clock::from_us(row.created_at_us),
        updated: clock::from_us(row.updated_at_us),
        version: row.version,
    }))
}

fn row_state(state: State) -> Row {
    match state {
        State::OnSale => Row::OnSale,
        State::Retired => Row::Retired,
    }
}

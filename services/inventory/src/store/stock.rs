//! Stock to rows and back.
//!
//! Whoever changes stock locks the rows first, always in the order of the skus, so that two orders
//! with the same products wait for each other instead of blocking each other for good. SQLite has
//! one writer and needs no locks; there the clause is left out.

use chassis::db::{Error, Tx};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::entity::stock::{ActiveModel, Column, Entity, Model};
use crate::domain::{lines::Lines, shelf::Shelf, stock::Stock};

/// The stock that `lines` are about, locked until the unit of work ends.
///
/// # Errors
/// The database's own.
pub async fn lock(tx: &Tx, lines: &Lines) -> Result<Shelf, Error> {
    let rows = locked(tx, lines.iter().map(|line| line.sku.as_str())).await?;
    Ok(Shelf::of(rows))
}

/// The stock of one sku, locked until the unit of work ends.
///
/// # Errors
/// The database's own.
pub async fn lock_one(tx: &Tx, sku: &str) -> Result<Option<Stock>, Error> {
    Ok(locked(tx, [sku]).await?.pop())
}

async fn locked<'a>(tx: &Tx, skus: impl IntoIterator<Item = &'a str>) -> Result<Vec<Stock>, Error> {
    let rows = Entity::find()
        .filter(Column::Sku.is_in(skus))
        .order_by_asc(Column::Sku)
        .lock_exclusive()
        .all(tx)
        .await?;
    rows.into_iter().map(stock).collect()
}

/// The stock of these skus, as far as they are known, in the order of the skus.
///
/// # Errors
/// The database's own.
pub async fn find(db: &impl ConnectionTrait, skus: &[String]) -> Result<Vec<Stock>, Error> {
    let rows = Entity::find()
        .filter(Column::Sku.is_in(skus))
        .order_by_asc(Column::Sku)
        .all(db)
        .await?;
    rows.into_iter().map(stock).collect()
}

/// Stores every stock of a shelf.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed one since it was read.
pub async fn save_all(tx: &Tx, shelf: &Shelf) -> Result<(), Error> {
    for stock in shelf.stocks() {
        save(tx, stock).await?;
    }
    Ok(())
}

/// Stores a stock, also one that was never stored.
///
/// # Errors
/// [`Error::Conflict`] where somebody else changed it since it was read.
pub async fn save(tx: &Tx, stock: &Stock) -> Result<(), Error> {
    let rows = if stock.version() == 0 {
        insert(tx, stock).await?
    } else {
        update(tx, stock).await?
    };
    if rows == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

async fn insert(tx: &Tx, stock: &Stock) -> Result<u64, Error> {
    let row = ActiveModel {
        sku: Set(stock.sku().to_owned()),
        on_hand: Set(stock.on_hand()),
        reserved: Set(stock.reserved()),
        version: Set(1),
    };
    let mut skip_known = OnConflict::column(Column::Sku);
    skip_known.do_nothing();
    Ok(Entity::insert(row)
        .on_conflict(skip_known)
        .exec_without_returning(tx)
        .await?)
}

async fn update(tx: &Tx, stock: &Stock) -> Result<u64, Error> {
    let updated = Entity::update_many()
        .col_expr(Column::OnHand, Expr::value(stock.on_hand()))
        .col_expr(Column::Reserved, Expr::value(stock.reserved()))
        .col_expr(Column::Version, Expr::value(stock.version() + 1))
        .filter(Column::Sku.eq(stock.sku()))
        .filter(Column::Version.eq(stock.version()))
        .exec(tx)
        .await?;
    Ok(updated.rows_affected)
}

fn stock(row: Model) -> Result<Stock, Error> {
    let corrupt = format!("stock of '{}'", row.sku);
    Stock::restore(row.sku, row.on_hand, row.reserved, row.version).ok_or(Error::Corrupt(corrupt))
}

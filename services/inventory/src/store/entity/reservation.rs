//! The table `reservations`.

use sea_orm::{FromJsonQueryResult, entity::prelude::*};
use serde::{Deserialize, Serialize};

/// What became of a hold, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum State {
    /// The units are held.
    #[sea_orm(string_value = "held")]
    Held,
    /// Its time to live ended it.
    #[sea_orm(string_value = "expired")]
    Expired,
    /// It was given back.
    #[sea_orm(string_value = "released")]
    Released,
    /// The units left the house.
    #[sea_orm(string_value = "committed")]
    Committed,
    /// The units came back.
    #[sea_orm(string_value = "returned")]
    Returned,
}

/// Units of one sku.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRow {
    /// The product.
    pub sku: String,
    /// Units.
    pub quantity: i64,
}

/// The lines of an order. Never changed and always read whole, so they stand in the row: one statement less in the one writer's turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct LineRows(pub Vec<LineRow>);

/// An order's hold on stock.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservations")]
pub struct Model {
    /// An order has at most one hold.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Uuid,
    /// UUIDv7.
    pub reservation_id: Uuid,
    /// What is held.
    #[sea_orm(column_type = "Json")]
    pub lines: LineRows,
    /// What became of it.
    pub state: State,
    /// When a hold ends by itself, in microseconds since 1970.
    pub expires_at_us: i64,
    /// Counts the changes.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

//! The table `products`.

use sea_orm::entity::prelude::*;

/// Whether a product can be bought, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum State {
    /// It can.
    #[sea_orm(string_value = "on_sale")]
    OnSale,
    /// Never again.
    #[sea_orm(string_value = "retired")]
    Retired,
}

/// A product.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "products")]
pub struct Model {
    /// UUIDv7; also the order of lists.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The shop's own unique code.
    #[sea_orm(unique)]
    pub sku: String,
    /// At most 200 characters.
    pub name: String,
    /// At most 4,000 characters.
    #[sea_orm(column_type = "Text")]
    pub description: String,
    /// ISO 4217.
    pub currency_code: String,
    /// Minor units of the currency, e.g. cents.
    pub price_minor: i64,
    /// Whether it can be bought.
    pub state: State,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// Microseconds since 1970.
    pub updated_at_us: i64,
    /// Counts the changes.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

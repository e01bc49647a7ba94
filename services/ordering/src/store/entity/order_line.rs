//! The table `order_lines`.

use sea_orm::entity::prelude::*;

/// One sku of an order.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_lines")]
pub struct Model {
    /// The order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Uuid,
    /// From 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// What.
    pub sku: String,
    /// The product's name when the order was placed.
    pub name: String,
    /// Units.
    pub quantity: i32,
    /// ISO 4217; null where the product is unknown.
    pub currency_code: Option<String>,
    /// Minor units of the currency; null where the product is unknown.
    pub unit_price_minor: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

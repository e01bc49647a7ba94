//! The table `stock`.

use sea_orm::entity::prelude::*;

/// What is there of one sku.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stock")]
pub struct Model {
    /// The product.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sku: String,
    /// Units in the house, held ones among them.
    pub on_hand: i64,
    /// Units held for orders; never more than `on_hand`.
    pub reserved: i64,
    /// Counts the changes.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

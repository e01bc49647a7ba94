//! The table `order_customers`: what orders know of people, apart from their events, so that it can be erased.

use sea_orm::entity::prelude::*;

/// Who placed an order.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_customers")]
pub struct Model {
    /// The order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Uuid,
    /// The customer's name when it was placed.
    pub customer_name: String,
}

impl ActiveModelBehavior for ActiveModel {}

//! The table `order_snapshots`.

use sea_orm::entity::prelude::*;

/// What an order had become at a version.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_snapshots")]
pub struct Model {
    /// The order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Uuid,
    /// The version that it had.
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i64,
    /// What `state` says and how.
    pub schema: i32,
    /// When it came to that version, in microseconds since 1970.
    pub at_us: i64,
    /// The message `caravan.ordering.v1.Order`, without the customer's name.
    pub state: Vec<u8>,
}

impl ActiveModelBehavior for ActiveModel {}

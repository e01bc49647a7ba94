//! The table `customers`: copies of accounts.

use sea_orm::entity::prelude::*;

/// An account as the newest known event tells.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customers")]
pub struct Model {
    /// The account.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// At most 100 characters.
    pub display_name: String,
    /// Whether it may buy.
    pub active: bool,
    /// The account's version that the row tells; an older one changes nothing.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

//! The table `failures`: whoever tried wrong passwords or codes of late.

use sea_orm::entity::prelude::*;

/// The failures of one account or network address.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "failures")]
pub struct Model {
    /// Made of the e-mail address or network address, which stands nowhere here.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When all of them are forgotten. Microseconds since 1970.
    pub forgotten_at_us: i64,
    /// Waits since there were no failures.
    pub waits: i32,
    /// End of the last wait; NULL where there was none. Microseconds since 1970.
    pub waits_until_us: Option<i64>,
    /// When nothing of it counts any more. Microseconds since 1970.
    pub ends_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

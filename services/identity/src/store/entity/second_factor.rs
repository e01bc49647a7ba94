//! The table `second_factors`: what accounts have beside their passwords.

use sea_orm::entity::prelude::*;

/// An account's second factor.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "second_factors")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: Uuid,
    /// The app's secret, sealed.
    #[sea_orm(column_type = "Blob")]
    pub secret: Vec<u8>,
    /// Since when logins need a code; null until it is confirmed. Microseconds since 1970.
    pub enabled_at_us: Option<i64>,
    /// Time step of the newest code that was taken.
    pub last_step: i64,
    /// Since the last right one.
    pub wrong_codes: i32,
    /// When the next code may be tried. Microseconds since 1970.
    pub waits_until_us: Option<i64>,
    /// Counts the changes from 1.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

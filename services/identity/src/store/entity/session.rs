//! The table `sessions`: logins that have not ended. Those that have are gone.

use sea_orm::entity::prelude::*;

/// A login.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who logged in.
    pub account_id: Uuid,
    /// What the client calls itself; at most 100 characters.
    pub client: String,
    /// What its refresh tokens are made with.
    #[sea_orm(column_type = "Blob")]
    pub secret: Vec<u8>,
    /// Number of the refresh token that is good now, from 1.
    pub generation: i64,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// When that token was made. Microseconds since 1970.
    pub refreshed_at_us: i64,
    /// When it is over unless it is refreshed. Microseconds since 1970.
    pub ends_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

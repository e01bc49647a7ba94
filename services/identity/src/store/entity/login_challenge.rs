//! The table `login_challenges`: logins whose password was right, and which wait for a code.

use sea_orm::entity::prelude::*;

/// A login that waits.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "login_challenges")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Who logs in.
    pub account_id: Uuid,
    /// SHA-256 of what the client has to show.
    #[sea_orm(column_type = "Blob")]
    pub token_hash: Vec<u8>,
    /// What the client calls itself; at most 100 characters.
    pub client: String,
    /// Wrong codes so far.
    pub tries: i32,
    /// Microseconds since 1970.
    pub ends_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

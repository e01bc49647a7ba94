//! The table `clients`.

use sea_orm::entity::prelude::*;

/// A system that calls the shop under a name of its own.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "clients")]
pub struct Model {
    /// UUIDv7; also the order of lists.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// The name that it shows.
    #[sea_orm(unique)]
    pub client_id: String,
    /// For people.
    pub description: String,
    /// Parted by spaces.
    pub scopes: String,
    /// SHA-256.
    #[sea_orm(column_type = "Blob")]
    pub secret_hash: Vec<u8>,
    /// Microseconds since 1970.
    pub secret_made_at_us: i64,
    /// SHA-256 of the secret before.
    #[sea_orm(column_type = "Blob", nullable)]
    pub previous_hash: Option<Vec<u8>>,
    /// Until when that one is good. Microseconds since 1970.
    pub previous_ends_at_us: Option<i64>,
    /// Gets no tokens.
    pub is_disabled: bool,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// Counts changes, from 1.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

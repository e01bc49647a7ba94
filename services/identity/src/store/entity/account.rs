//! The table `accounts`.

use sea_orm::{FromJsonQueryResult, entity::prelude::*};
use serde::{Deserialize, Serialize};

/// Whether an account can be used, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(16))")]
pub enum State {
    /// It can.
    #[sea_orm(string_value = "active")]
    Active,
    /// It can neither log in nor buy.
    #[sea_orm(string_value = "inactive")]
    Inactive,
    /// Its person is gone.
    #[sea_orm(string_value = "closed")]
    Closed,
}

/// The names of an account's roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, FromJsonQueryResult)]
pub struct RoleNames(pub Vec<String>);

/// A person who may log in.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "accounts")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Lower case.
    #[sea_orm(unique)]
    pub email: String,
    /// Whether the address is known to be its owner's.
    pub email_verified: bool,
    /// At most 100 characters.
    pub display_name: String,
    /// What the person may be.
    #[sea_orm(column_type = "Json")]
    pub roles: RoleNames,
    /// Whether it can be used.
    pub state: State,
    /// A language tag, or empty.
    pub locale: String,
    /// Whether more than what is needed may be sent.
    pub newsletter: bool,
    /// Microseconds since 1970.
    pub created_at_us: i64,
    /// Counts the changes.
    pub version: i64,
}

impl ActiveModelBehavior for ActiveModel {}

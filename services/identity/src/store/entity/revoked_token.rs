//! The table `revoked_tokens`: access tokens that were revoked before their end. Afterwards their rows go.

use sea_orm::entity::prelude::*;

/// An access token that is no longer good.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revoked_tokens")]
pub struct Model {
    /// Its `jti`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Microseconds since 1970.
    pub ends_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

//! The table `revoked_tokens`: access tokens that were revoked before their end. Afterwards their rows go.

use sea_orm::entity::prelude::*;

/// Access tokens that are no longer good.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revoked_tokens")]
pub struct Model {
    /// The `jti` of one, or whose they are: a session, an account or a client (see `domain::revocation`).
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// When the last of them has ended. Microseconds since 1970.
    pub ends_at_us: i64,
    /// Those made until then; all where it is NULL. Microseconds since 1970.
    pub made_until_us: Option<i64>,
    /// When they were revoked. Microseconds since 1970.
    pub revoked_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

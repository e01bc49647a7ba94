//! The table `mails`: those that were asked for and not answered yet.

use sea_orm::entity::prelude::*;

/// What a mail is for, as its row says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "String(StringLen::N(32))")]
pub enum Kind {
    /// Verifies an address.
    #[sea_orm(string_value = "email_verification")]
    EmailVerification,
    /// Lets a new password be set.
    #[sea_orm(string_value = "password_reset")]
    PasswordReset,
}

/// A mail with a token.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mails")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Whose it is; NULL where nobody has the address.
    pub account_id: Option<Uuid>,
    /// What it is for.
    pub kind: Kind,
    /// What it brings. Whoever knows it may use it once.
    #[sea_orm(unique)]
    pub token: String,
    /// When the token ends. Microseconds since 1970.
    pub ends_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

//! The table `mails`: those that were asked for, and not answered yet where they bring a token.

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
    /// Tells of a new password.
    #[sea_orm(string_value = "password_changed")]
    PasswordChanged,
    /// Tells that logins need a code.
    #[sea_orm(string_value = "second_factor_enabled")]
    SecondFactorEnabled,
    /// Tells that logins need no code any more.
    #[sea_orm(string_value = "second_factor_disabled")]
    SecondFactorDisabled,
    /// Tells that an admin has taken the second factor away.
    #[sea_orm(string_value = "second_factor_reset")]
    SecondFactorReset,
    /// Tells of new recovery codes.
    #[sea_orm(string_value = "recovery_codes_changed")]
    RecoveryCodesChanged,
    /// Tells of other roles.
    #[sea_orm(string_value = "roles_changed")]
    RolesChanged,
}

/// A mail.
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
    /// What it brings: whoever knows it may use it once. Of a mail that brings nothing, its own id.
    #[sea_orm(unique)]
    pub token: String,
    /// When the token ends, or the mail is no longer worth sending. Microseconds since 1970.
    pub ends_at_us: i64,
}

impl ActiveModelBehavior for ActiveModel {}

//! What is remembered of who did what to whom: to accounts here, and to other things in every service.

use time::OffsetDateTime;
use uuid::Uuid;

/// Who is not logged in.
pub const NOBODY: &str = "anonymous";

/// Something that was done to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was opened.
    Registered,
    /// Its person logged in.
    Login,
    /// Somebody showed a wrong password, or the right one of an account that is not active.
    LoginRefused,
    /// A refresh token that had been used came again.
    RefreshTokenReused,
    /// A session was ended.
    SessionEnded,
    /// All sessions were ended.
    AllSessionsEnded,
    /// The password was changed by somebody who knew it.
    PasswordChanged,
    /// Somebody asked for a mail to set a new password.
    PasswordResetRequested,
    /// The password was set with the token of a mail.
    PasswordReset,
    /// The address turned out to be its owner's.
    EmailVerified,
    /// Name or preferences were changed.
    Updated,
    /// It may no longer be used.
    Deactivated,
    /// It may be used again.
    Reactivated,
    /// Its roles were set.
    RolesSet,
    /// It was closed for good.
    Closed,
    /// Its person knew the password, and was asked for a code.
    LoginChallenged,
    /// Logins need a code from now on.
    SecondFactorEnabled,
    /// Logins need no code any more: its person says so.
    SecondFactorDisabled,
    /// Logins need no code any more: an admin says so.
    SecondFactorReset,
    /// It got new recovery codes.
    RecoveryCodesMade,
    /// A recovery code was used.
    RecoveryCodeUsed,
}

impl Action {
    /// As rows and answers say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "ACCOUNT_REGISTERED",
            Self::Login => "LOGIN",
            Self::LoginRefused => "LOGIN_REFUSED",
            Self::RefreshTokenReused => "REFRESH_TOKEN_REUSED",
            Self::SessionEnded => "SESSION_ENDED",
            Self::AllSessionsEnded => "ALL_SESSIONS_ENDED",
            Self::PasswordChanged => "PASSWORD_CHANGED",
            Self::PasswordResetRequested => "PASSWORD_RESET_REQUESTED",
            Self::PasswordReset => "PASSWORD_RESET",
            Self::EmailVerified => "EMAIL_VERIFIED",
            Self::Updated => "ACCOUNT_UPDATED",
            Self::Deactivated => "ACCOUNT_DEACTIVATED",
            Self::Reactivated => "ACCOUNT_REACTIVATED",
            Self::RolesSet => "ROLES_SET",
            Self::Closed => "ACCOUNT_CLOSED",
            Self::LoginChallenged => "LOGIN_CHALLENGED",
            Self::SecondFactorEnabled => "SECOND_FACTOR_ENABLED",
            Self::SecondFactorDisabled => "SECOND_FACTOR_DISABLED",
            Self::SecondFactorReset => "SECOND_FACTOR_RESET",
            Self::RecoveryCodesMade => "RECOVERY_CODES_MADE",
            Self::RecoveryCodeUsed => "RECOVERY_CODE_USED",
        }
    }
}

/// What a service has recorded of a call, as it came by event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collected {
    /// UUIDv7.
    pub id: Uuid,
    /// When it was done.
    pub time: OffsetDateTime,
    /// The service.
    pub service: String,
    /// `user:<id>`, `service:<name>` or `client:<id>`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// More about it.
    pub detail: String,
    /// The request that did it.
    pub request_id: String,
}

/// An entry to be, of what is done to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `user:<id>`, `service:<name>` or `anonymous`.
    pub actor: String,
    /// What was done.
    pub action: Action,
    /// Whose account; `None` where there is none.
    pub account: Option<Uuid>,
    /// More about it. Nothing secret, and no name or address: accounts are closed, entries stay.
    pub detail: String,
}

impl Entry {
    /// What `actor` did to an account.
    pub fn new(actor: String, action: Action, account: Uuid) -> Self {
        Self {
            actor,
            action,
            account: Some(account),
            detail: String::new(),
        }
    }

    /// What the account's person did.
    pub fn by_owner(action: Action, account: Uuid) -> Self {
        Self::new(format!("user:{account}"), action, account)
    }

    /// What somebody did who was not logged in; to nobody where the account is not known.
    pub fn by_stranger(action: Action, account: Option<Uuid>) -> Self {
        Self {
            actor: NOBODY.to_owned(),
            action,
            account,
            detail: String::new(),
        }
    }

    /// Says more about it.
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

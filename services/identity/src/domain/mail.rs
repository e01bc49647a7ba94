//! A mail that brings a token, which whoever reads the mail may use once, or one that tells of something.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Verifies an address.
    EmailVerification,
    /// Lets a new password be set.
    PasswordReset,
    /// Tells of a new password.
    PasswordChanged,
    /// Tells that logins need a code.
    SecondFactorEnabled,
    /// Tells that logins need no code any more.
    SecondFactorDisabled,
    /// Tells that an admin has taken the second factor away.
    SecondFactorReset,
    /// Tells of new recovery codes.
    RecoveryCodesChanged,
    /// Tells of other roles.
    RolesChanged,
}

impl Kind {
    /// Those that bring a token.
    pub const WITH_TOKEN: [Self; 2] = [Self::EmailVerification, Self::PasswordReset];

    /// How long its token is good, or the mail worth sending.
    pub fn lifetime(self) -> Duration {
        match self {
            Self::PasswordReset => Duration::hours(1),
            Self::EmailVerification
            | Self::PasswordChanged
            | Self::SecondFactorEnabled
            | Self::SecondFactorDisabled
            | Self::SecondFactorReset
            | Self::RecoveryCodesChanged
            | Self::RolesChanged => Duration::hours(48),
        }
    }
}

/// A mail that is to be sent, and was not answered yet where it brings a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose it is. `None` where nobody has the address that was asked for: then it is kept for a while like any other, so
    /// that asking takes as long.
    pub account: Option<Uuid>,
    /// What it is for.
    pub kind: Kind,
    /// What it brings. Good once; `None` where it only tells of something.
    pub token: Option<String>,
    /// When the token ends, or the mail is no longer worth sending.
    pub ends: OffsetDateTime,
}

impl Mail {
    /// A new mail.
    pub fn new(
        id: Uuid,
        account: Option<Uuid>,
        kind: Kind,
        token: Option<String>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            account,
            kind,
            token,
            ends: now + kind.lifetime(),
        }
    }
}

/// A mail is to be sent, as others hear of it: without its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The mail.
    pub mail: Uuid,
    /// Whose it is.
    pub account: Uuid,
    /// What it is for.
    pub kind: Kind,
}

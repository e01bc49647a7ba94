//! A mail that brings a token: whoever reads the mail may use it once.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// What a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Verifies an address.
    EmailVerification,
    /// Lets a new password be set.
    PasswordReset,
}

impl Kind {
    /// How long its token is good.
    pub fn lifetime(self) -> Duration {
        match self {
            Self::EmailVerification => Duration::hours(48),
            Self::PasswordReset => Duration::hours(1),
        }
    }
}

/// A mail that is to be sent, and was not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// UUIDv7.
    pub id: Uuid,
    /// Whose it is. `None` where nobody has the address that was asked for: then it is kept for a while like any other, so
    /// that asking takes as long.
    pub account: Option<Uuid>,
    /// What it is for.
    pub kind: Kind,
    /// What it brings. Good once.
    pub token: String,
    /// When the token ends.
    pub ends: OffsetDateTime,
}

impl Mail {
    /// A new mail.
    pub fn new(
        id: Uuid,
        account: Option<Uuid>,
        kind: Kind,
        token: String,
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

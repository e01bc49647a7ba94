//! Every way in which a call can fail, and its one code.

use std::time::Duration;

use chassis::{
    Classify,
    error::{Code, Violation},
};
use uuid::Uuid;

use crate::{
    domain::{
        account::{AccountError, ChangeError},
        client::ClientError,
        throttle::TooMany,
    },
    passwords::PasswordError,
    rpc::oauth::OAuthError,
    second_factor::seal::SealError,
    tokens::TokenError,
};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks a rule that the contract's own rules cannot say.
    #[error("{}: {}", .0.field, .0.description)]
    Invalid(Violation),
    /// The address has an account.
    #[error("There is already an account with this e-mail address.")]
    EmailTaken,
    /// Unknown address, wrong password or both: nobody learns which.
    #[error("The e-mail address or the password is wrong.")]
    InvalidCredentials,
    /// Forged, used, over, or of a session that has ended: nobody learns which.
    #[error("The refresh token is not valid; log in again.")]
    InvalidRefreshToken,
    /// No login waits for this code: it is over, was refused too often, or never was.
    #[error("The login has to begin anew.")]
    InvalidChallenge,
    /// A wrong code, or one that was used.
    #[error("The code is wrong or was used before.")]
    InvalidCode,
    /// The caller has a second factor already.
    #[error("There is a second factor already; disable it first.")]
    HasSecondFactor,
    /// The caller has no second factor.
    #[error("There is no second factor.")]
    NoSecondFactor,
    /// An admin wants to be rid of the own one.
    #[error("Your own second factor goes by DisableSecondFactor, with a code.")]
    OwnSecondFactor,
    /// The secret of a second factor is not readable.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Unknown, used or over.
    #[error("The token is not valid any more; ask for a new mail.")]
    InvalidMailToken,
    /// None of the caller's sessions has this id.
    #[error("There is no session {0}.")]
    NoSession(Uuid),
    /// The account does not allow the change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Mails are for the service that sends them.
    #[error("Only the service that sends mails may see them.")]
    NoPostman,
    /// A client of this name is there already, or a service of the mesh.
    #[error("There is already a client `{0}`.")]
    ClientTaken(String),
    /// No client has this name.
    #[error("There is no client `{0}`.")]
    NoClient(String),
    /// An endpoint of OAuth 2.0 refuses.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
    /// The password was right, but the account is closed for now.
    #[error("The account is not active.")]
    Inactive,
    /// Too many failed logins of one address.
    #[error("Too many failed logins; try again in {} s.", .0.retry_after.as_secs().max(1))]
    TooManyFailures(TooMany),
    /// Only a person has an account.
    #[error("Only a person has an account.")]
    NoPerson,
    /// No account has this id.
    #[error("There is no account {0}.")]
    NotFound(Uuid),
    /// A password could not be hashed or checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A token could not be signed.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The system gave no random bytes.
    #[error("no randomness")]
    Randomness(#[from] aws_lc_rs::error::Unspecified),
    /// The database failed, or a concurrent change won.
    #[error(transparent)]
    Store(#[from] chassis::db::Error),
}

impl Error {
    /// A field of the request that cannot be used; `field` as JSON names it.
    pub fn invalid(field: &str, description: impl Into<String>) -> Self {
        Self::Invalid(Violation::new(field, description))
    }
}

impl From<AccountError> for Error {
    fn from(error: AccountError) -> Self {
        Self::invalid(error.field(), error.to_string())
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        Self::invalid("scopes", error.to_string())
    }
}

impl Classify for Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::EmailTaken | Self::ClientTaken(_) => Code::AlreadyExists,
            Self::OAuth(error) => error.code(),
            Self::InvalidCredentials | Self::InvalidRefreshToken => Code::Unauthenticated,
            Self::Inactive | Self::NoPerson | Self::NoPostman => Code::PermissionDenied,
            Self::InvalidChallenge | Self::InvalidCode => Code::Unauthenticated,
            Self::InvalidMailToken
            | Self::Change(_)
            | Self::HasSecondFactor
            | Self::NoSecondFactor
            | Self::OwnSecondFactor => Code::FailedPrecondition,
            Self::TooManyFailures(_) | Self::Password(PasswordError::Overloaded) => {
                Code::ResourceExhausted
            }
            Self::NotFound(_) | Self::NoSession(_) | Self::NoClient(_) => Code::NotFound,
            Self::Password(PasswordError::Broken(_))
            | Self::Token(_)
            | Self::Randomness(_)
            | Self::Seal(_) => Code::Internal,
            Self::Store(error) => error.code(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_REQUEST",
            Self::EmailTaken => "EMAIL_TAKEN",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::ClientTaken(_) => "CLIENT_TAKEN",
            Self::NoClient(_) => "CLIENT_NOT_FOUND",
            Self::OAuth(error) => error.reason(),
            Self::InvalidRefreshToken => "REFRESH_TOKEN_INVALID",
            Self::InvalidMailToken => "TOKEN_INVALID",
            Self::InvalidChallenge => "CHALLENGE_INVALID",
            Self::InvalidCode => "CODE_INVALID",
            Self::HasSecondFactor => "SECOND_FACTOR_ENABLED",
            Self::NoSecondFactor => "SECOND_FACTOR_MISSING",
            Self::OwnSecondFactor => "OWN_SECOND_FACTOR",
            Self::Seal(_) => "SECOND_FACTOR_UNREADABLE",
            Self::NoSession(_) => "SESSION_NOT_FOUND",
            Self::Change(ChangeError::Closed) => "ACCOUNT_CLOSED",
            Self::Change(ChangeError::OwnAdminRole) => "OWN_ADMIN_ROLE",
            Self::NoPostman => "ACCESS_DENIED",
            Self::Inactive => "ACCOUNT_INACTIVE",
            Self::TooManyFailures(_) => "TOO_MANY_FAILED_LOGINS",
            Self::NoPerson => "NO_PERSON",
            Self::NotFound(_) => "ACCOUNT_NOT_FOUND",
            Self::Password(PasswordError::Overloaded) => "OVERLOADED",
            Self::Password(PasswordError::Broken(_)) => "PASSWORD_HASHING",
            Self::Token(_) => "TOKEN_SIGNING",
            Self::Randomness(_) => "RANDOMNESS",
            Self::Store(error) => error.reason(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Store(error) => error.message(),
            _ => self.to_string(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooManyFailures(too_many) => Some(too_many.retry_after),
            _ => None,
        }
    }

    fn violations(&self) -> Vec<Violation> {
        match self {
            Self::Invalid(violation) => vec![violation.clone()],
            _ => Vec::new(),
        }
    }
}

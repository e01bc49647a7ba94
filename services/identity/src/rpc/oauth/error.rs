//! Why an endpoint of OAuth 2.0 refuses.

use chassis::error::Code;

/// What RFC 6749 and RFC 7009 have words for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OAuthError {
    /// A parameter is missing, wrong or contradicts another.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// Unknown client, wrong secret, disabled, or nobody at all.
    #[error("The client id or the secret is wrong.")]
    InvalidClient,
    /// Only clients get tokens here: people log in.
    #[error("Only the grant type `client_credentials` is there; people log in at /v1/sessions.")]
    UnsupportedGrantType,
    /// The client does not have it.
    #[error("The client does not have the scope `{0}`.")]
    InvalidScope(String),
    /// The token is somebody else's.
    #[error("The client may not do this with tokens of others.")]
    UnauthorizedClient,
    /// Nobody told the service where clients find it.
    #[error("This server does not say where it is: PUBLIC_URL is not set.")]
    NoPublicUrl,
}

impl OAuthError {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::InvalidRequest(_) | Self::UnsupportedGrantType | Self::InvalidScope(_) => {
                Code::InvalidArgument
            }
            Self::InvalidClient => Code::Unauthenticated,
            Self::UnauthorizedClient => Code::PermissionDenied,
            Self::NoPublicUrl => Code::NotFound,
        }
    }

    /// The gateway tells it to clients in lower case.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "INVALID_REQUEST",
            Self::InvalidClient => "INVALID_CLIENT",
            Self::UnsupportedGrantType => "UNSUPPORTED_GRANT_TYPE",
            Self::InvalidScope(_) => "INVALID_SCOPE",
            Self::UnauthorizedClient => "UNAUTHORIZED_CLIENT",
            Self::NoPublicUrl => "NO_PUBLIC_URL",
        }
    }
}

//! What the mesh's own access tokens say.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{revoked::client_uuid, verifier::VerifyError};
use crate::call::Caller;

/// The `aud` of every access token.
pub const AUDIENCE: &str = "caravan";
/// The `typ` of every access token (RFC 9068); a refresh token has another one.
pub const TOKEN_TYPE: &str = "at+jwt";

/// What a token is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A person.
    User,
    /// A service of the mesh.
    Service,
    /// A system outside of the mesh.
    Client,
}

impl TokenKind {
    /// As tokens say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Client => "client",
        }
    }
}

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it.
    pub iss: String,
    /// For whom; always [`AUDIENCE`].
    pub aud: String,
    /// Account id, service name or client id.
    pub sub: String,
    /// End, in seconds since 1970.
    pub exp: u64,
    /// Begin, in seconds since 1970.
    pub nbf: u64,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// Its own id.
    pub jti: String,
    /// Person, service or client.
    pub kind: TokenKind,
    /// What the person may be: `customer`, `support`, `operator`, `admin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The session that gave it to its person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<Uuid>,
    /// Who asked for it (RFC 9068): of services and clients the same as `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// What the client may do, parted by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl Claims {
    /// The ids by which it may be revoked: of its session, its own, and of its account or client.
    pub fn revocable_by(&self) -> [Option<Uuid>; 3] {
        let owner = match (self.kind, &self.client_id) {
            (TokenKind::User, _) => Uuid::parse_str(&self.sub).ok(),
            (_, client_id) => client_id.as_deref().map(client_uuid),
        };
        [self.sid, Uuid::parse_str(&self.jti).ok(), owner]
    }

    /// When it was made, in microseconds since 1970. Its id says it more exactly than `iat`.
    pub fn made_us(&self) -> u64 {
        let id = Uuid::parse_str(&self.jti).ok();
        let made = id
            .and_then(|id| id.get_timestamp())
            .map(|time| time.to_unix());
        let (seconds, nanos) = made.unwrap_or((self.iat, 0));
        seconds
            .saturating_mul(1_000_000)
            .saturating_add(u64::from(nanos / 1_000))
    }

    /// Whom they name.
    pub(super) fn caller(self) -> Result<Caller, VerifyError> {
        let nobody = VerifyError::Invalid("subject");
        if self.sub.is_empty() {
            return Err(nobody);
        }
        Ok(match self.kind {
            TokenKind::User => Caller::User {
                id: Uuid::parse_str(&self.sub).map_err(|_| nobody)?,
                roles: self.roles,
            },
            TokenKind::Service => Caller::Service { name: self.sub },
            TokenKind::Client => Caller::Client {
                id: self.sub,
                scopes: self
                    .scope
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
            },
        })
    }
}

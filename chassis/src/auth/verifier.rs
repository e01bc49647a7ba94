//! Checks access tokens: ES256 JWTs of one issuer, by the public keys of a key source.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use uuid::Uuid;

use super::{
    keys::{KeyCache, KeySource},
    seen::Seen,
};
use crate::call::Caller;

/// The `aud` of every access token.
pub const AUDIENCE: &str = "caravan";
/// The `typ` of every access token (RFC 9068); a refresh token has another one.
pub const TOKEN_TYPE: &str = "at+jwt";
/// How far clocks may be apart.
pub(super) const LEEWAY: Duration = Duration::from_secs(5);
/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What a token is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A person.
    User,
    /// A service of the mesh.
    Service,
}

/// The claims of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it.
    pub iss: String,
    /// For whom; always [`AUDIENCE`].
    pub aud: String,
    /// Account id, or service name.
    pub sub: String,
    /// End, in seconds since 1970.
    pub exp: u64,
    /// Begin, in seconds since 1970.
    pub nbf: u64,
    /// When it was made, in seconds since 1970.
    pub iat: u64,
    /// Its own id.
    pub jti: String,
    /// Person or service.
    pub kind: TokenKind,
    /// What the person may be: `customer`, `support`, `operator`, `admin`.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It was good once.
    #[error("the access token has expired")]
    Expired,
    /// It was never good here. The text is for logs.
    #[error("the access token is not valid: {0}")]
    Invalid(&'static str),
    /// The keys are not to be had, so nothing can be said about it.
    #[error("access tokens cannot be checked now")]
    Keys(#[source] Status),
}

impl VerifyError {
    /// How it is answered.
    pub fn status(&self) -> Status {
        let (code, reason, text) = match self {
            Self::Expired => (
                Code::Unauthenticated,
                "TOKEN_EXPIRED",
                "The access token has expired.",
            ),
            Self::Invalid(_) => (
                Code::Unauthenticated,
                "TOKEN_INVALID",
                "The access token is not valid.",
            ),
            Self::Keys(_) => (
                Code::Unavailable,
                "KEYS_UNAVAILABLE",
                "Access tokens cannot be checked now.",
            ),
        };
        crate::status::with_reason(code, reason, text)
    }
}

/// Checks tokens and remembers the good ones. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: String,
    keys: KeyCache,
    seen: Seen<Known>,
}

#[derive(Clone)]
struct Known {
    kid: Arc<str>,
    nbf: u64,
    exp: u64,
    caller: Caller,
}

impl Verifier {
    /// A verifier of tokens that `issuer` made.
    pub fn new(issuer: &str, keys: impl KeySource) -> Self {
        Self {
            shared: Arc::new(Shared {
                issuer: issuer.to_owned(),
                keys: KeyCache::new(keys),
                seen: Seen::new(),
            }),
        }
    }

    /// Who holds this token.
    ///
    /// # Errors
    /// The token is over, is not valid, or cannot be checked because the keys are not to be had.
    pub async fn verify(&self, token: &str) -> Result<Caller, VerifyError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::Invalid("too long"));
        }
        let digest = Seen::<Known>::digest(token);
        let known = match self.shared.seen.get(&digest) {
            // A key that was withdrawn takes its tokens along.
            Some(known) if self.shared.keys.has(&known.kid) => known,
            _ => {
                let known = self.check(token).await?;
                self.shared.seen.insert(digest, known.clone());
                known
            }
        };
        let now = jsonwebtoken::get_current_timestamp();
        if now >= known.exp + LEEWAY.as_secs() {
            return Err(VerifyError::Expired);
        }
        if now + LEEWAY.as_secs() < known.nbf {
            return Err(VerifyError::Invalid("not valid yet"));
        }
        Ok(known.caller)
    }

    /// Whether keys were had at least once; they are kept while identity is away.
    pub fn has_keys(&self) -> bool {
        self.shared.keys.has_some()
    }

    /// Keeps the keys fresh until the service stops.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        self.shared.keys.keep_fresh(stop).await;
    }

    /// Everything about a token but the time of day.
    async fn check(&self, token: &str) -> Result<Known, VerifyError> {
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| VerifyError::Invalid("no JWT"))?;
        let kid = key_id(&header)?;
        let key = self.shared.keys.get(kid, made_at_s(token)?);
        let key = key.await.map_err(VerifyError::Keys)?;
        let key = key.ok_or(VerifyError::Invalid("unknown key"))?;

        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[&self.shared.issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        let claims: Claims = jsonwebtoken::decode(token, &key, &validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => VerifyError::Expired,
                ErrorKind::InvalidSignature => VerifyError::Invalid("signature"),
                ErrorKind::InvalidIssuer => VerifyError::Invalid("issuer"),
                ErrorKind::InvalidAudience => VerifyError::Invalid("audience"),
                ErrorKind::ImmatureSignature => VerifyError::Invalid("not valid yet"),
                _ => VerifyError::Invalid("claims"),
            })?
            .claims;
        let caller = match claims.kind {
            TokenKind::User => Caller::User {
                id: Uuid::parse_str(&claims.sub).map_err(|_| VerifyError::Invalid("subject"))?,
                roles: claims.roles,
            },
            TokenKind::Service if claims.sub.is_empty() => {
                return Err(VerifyError::Invalid("subject"));
            }
            TokenKind::Service => Caller::Service { name: claims.sub },
        };
        Ok(Known {
            kid: kid.into(),
            nbf: claims.nbf,
            exp: claims.exp,
            caller,
        })
    }
}

/// When the token says that it was made, in seconds since 1970. Nobody has checked that yet.
fn made_at_s(token: &str) -> Result<u64, VerifyError> {
    #[derive(Deserialize)]
    struct Made {
        iat: u64,
    }
    jsonwebtoken::dangerous::insecure_decode::<Made>(token)
        .map(|data| data.claims.iat)
        .map_err(|_| VerifyError::Invalid("claims"))
}

/// The key that a header names. A header that brings a key along, or says where to get one, is refused.
fn key_id(header: &Header) -> Result<&str, VerifyError> {
    if header.alg != Algorithm::ES256 {
        return Err(VerifyError::Invalid("algorithm"));
    }
    if header.typ.as_deref() != Some(TOKEN_TYPE) {
        return Err(VerifyError::Invalid("type"));
    }
    if header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some()
        || header.crit.is_some()
    {
        return Err(VerifyError::Invalid("header"));
    }
    header
        .kid
        .as_deref()
        .ok_or(VerifyError::Invalid("no key id"))
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;

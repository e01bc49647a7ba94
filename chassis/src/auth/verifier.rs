//! Checks access tokens: signed JWTs of issuers that are known by name, by the public keys of each.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jsonwebtoken::{Algorithm, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    claims::{AUDIENCE, Claims, TOKEN_TYPE},
    keys::{Key, KeyCache, KeySource},
    outside::OutsideIssuer,
    revoked::{Marks, Revoked},
    seen::Seen,
};
use crate::call::Caller;

/// How far clocks may be apart.
pub(super) const LEEWAY: Duration = Duration::from_secs(5);
/// Longest token that is looked at, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// What keys of other issuers may sign with, each with the one of its own kind.
const OUTSIDE_ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// The `typ` of access tokens elsewhere: as RFC 9068 wants it, or as it was before.
const OUTSIDE_TYPES: [Option<&str>; 4] = [
    Some(TOKEN_TYPE),
    Some("application/at+jwt"),
    Some("JWT"),
    None,
];

/// Why a token does not count.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It was good once.
    #[error("the access token has expired")]
    Expired,
    /// It was revoked, or the session that gave it out has ended.
    #[error("the access token was revoked")]
    Revoked,
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
            Self::Revoked => (
                Code::Unauthenticated,
                "TOKEN_REVOKED",
                "The access token was revoked.",
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
    /// The mesh's own first.
    issuers: Vec<Issuer>,
    seen: Seen<Known>,
    /// Where the mesh's own keys and revocations come from.
    own: Arc<dyn KeySource>,
    revoked: Revoked,
}

/// Somebody whose tokens count.
struct Issuer {
    /// The `iss` of its tokens.
    name: String,
    keys: KeyCache,
    /// `None`: the mesh's own identity service.
    outside: Option<OutsideIssuer>,
}

/// What a token says that was checked.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) nbf: u64,
    pub(super) exp: u64,
    pub(super) caller: Caller,
    /// None of tokens of others, who tell of no revocations.
    pub(super) marks: Marks,
}

#[derive(Clone)]
struct Known {
    /// Index of its issuer.
    issuer: usize,
    kid: Arc<str>,
    checked: Checked,
}

impl Verifier {
    /// A verifier of tokens that `issuer` made.
    pub fn new(issuer: &str, keys: impl KeySource) -> Self {
        let own: Arc<dyn KeySource> = Arc::new(keys);
        Self::of(vec![Issuer::of_mesh(issuer, &own)], own)
    }

    /// The same, for tokens of others too.
    ///
    /// # Errors
    /// No HTTP client can be made for their keys.
    pub fn with_outside(
        issuer: &str,
        keys: impl KeySource,
        outside: Vec<OutsideIssuer>,
    ) -> anyhow::Result<Self> {
        let own: Arc<dyn KeySource> = Arc::new(keys);
        let others = outside.into_iter().map(|outside| {
            anyhow::Ok(Issuer {
                name: outside.issuer.clone(),
                keys: outside.keys()?,
                outside: Some(outside),
            })
        });
        let issuers = std::iter::once(Ok(Issuer::of_mesh(issuer, &own))).chain(others);
        Ok(Self::of(issuers.collect::<anyhow::Result<_>>()?, own))
    }

    fn of(issuers: Vec<Issuer>, own: Arc<dyn KeySource>) -> Self {
        Self {
            shared: Arc::new(Shared {
                issuers,
                seen: Seen::new(),
                own,
                revoked: Revoked::default(),
            }),
        }
    }

    /// Who holds this token.
    ///
    /// # Errors
    /// The token is over, was revoked, is not valid, or cannot be checked because the keys are not to be had.
    pub async fn verify(&self, token: &str) -> Result<Caller, VerifyError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(VerifyError::Invalid("too long"));
        }
        let digest = Seen::<Known>::digest(token);
        let issuers = &self.shared.issuers;
        let known = match self.shared.seen.get(&digest) {
            // A key that was withdrawn takes its tokens along.
            Some(known) if issuers[known.issuer].keys.has(&known.kid) => known,
            _ => {
                let known = self.check(token).await?;
                self.shared.seen.insert(digest, known.clone());
                known
            }
        };
        let checked = known.checked;
        let now = jsonwebtoken::get_current_timestamp();
        if now >= checked.exp.saturating_add(LEEWAY.as_secs()) {
            return Err(VerifyError::Expired);
        }
        if now + LEEWAY.as_secs() < checked.nbf {
            return Err(VerifyError::Invalid("not valid yet"));
        }
        if self.shared.revoked.has(&checked.marks) {
            return Err(VerifyError::Revoked);
        }
        Ok(checked.caller)
    }

    /// Whether the mesh's own keys were had at least once; they are kept while identity is away.
    pub fn has_keys(&self) -> bool {
        self.shared.issuers[0].keys.has_some()
    }

    /// Keeps the keys fresh, and hears of revoked tokens, until the service stops.
    pub async fn keep_fresh(&self, stop: CancellationToken) {
        let all = self.shared.issuers.iter();
        let keys = join_all(all.map(|issuer| issuer.keys.keep_fresh(stop.clone())));
        let revoked = self.shared.revoked.follow(&*self.shared.own, stop.clone());
        tokio::join!(keys, revoked);
    }

    /// Everything about a token but the time of day.
    async fn check(&self, token: &str) -> Result<Known, VerifyError> {
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| VerifyError::Invalid("no JWT"))?;
        let stated = Stated::of(token)?;
        let issuers = &self.shared.issuers;
        let issuer = issuers.iter().position(|issuer| issuer.name == stated.iss);
        let issuer = issuer.ok_or(VerifyError::Invalid("issuer"))?;
        let kid = issuers[issuer].key_id(&header)?;
        Ok(Known {
            issuer,
            kid: kid.into(),
            checked: issuers[issuer].check(token, &header, kid, &stated).await?,
        })
    }
}

impl Issuer {
    fn of_mesh(name: &str, source: &Arc<dyn KeySource>) -> Self {
        Self {
            name: name.to_owned(),
            keys: KeyCache::of_mesh(source.clone()),
            outside: None,
        }
    }

    /// The key that a header names. A header that brings a key along, or says where to get one, is refused, and so is one
    /// with an algorithm that none of the keys could have.
    fn key_id<'h>(&self, header: &'h Header) -> Result<&'h str, VerifyError> {
        let (algorithms, types): (&[Algorithm], _) = match &self.outside {
            None => (&[Algorithm::ES256], &[Some(TOKEN_TYPE)][..]),
            Some(_) => (&OUTSIDE_ALGORITHMS, &OUTSIDE_TYPES[..]),
        };
        if !algorithms.contains(&header.alg) {
            return Err(VerifyError::Invalid("algorithm"));
        }
        if !types.contains(&header.typ.as_deref()) {
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
        let kid = header.kid.as_deref();
        kid.ok_or(VerifyError::Invalid("no key id"))
    }

    async fn check(
        &self,
        token: &str,
        header: &Header,
        kid: &str,
        stated: &Stated,
    ) -> Result<Checked, VerifyError> {
        let key = self.keys.get(kid, stated.iat).await;
        let key = key.map_err(VerifyError::Keys)?;
        let key = key.ok_or(VerifyError::Invalid("unknown key"))?;
        if key.algorithm != header.alg {
            return Err(VerifyError::Invalid("algorithm"));
        }
        let mut validation = Validation::new(key.algorithm);
        validation.set_issuer(&[&self.name]);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        match &self.outside {
            None => {
                validation.set_audience(&[AUDIENCE]);
                validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
                let claims: Claims = decode(token, &key, &validation)?;
                Ok(Checked {
                    nbf: claims.nbf,
                    exp: claims.exp,
                    marks: Marks::of(&claims),
                    caller: claims.caller()?,
                })
            }
            Some(outside) => {
                validation.set_audience(&[&outside.audience]);
                validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
                outside.caller(&decode(token, &key, &validation)?)
            }
        }
    }
}

fn decode<T: DeserializeOwned>(
    token: &str,
    key: &Key,
    validation: &Validation,
) -> Result<T, VerifyError> {
    let data = jsonwebtoken::decode(token, &key.public, validation);
    let data = data.map_err(|error| match error.kind() {
        ErrorKind::ExpiredSignature => VerifyError::Expired,
        ErrorKind::InvalidSignature => VerifyError::Invalid("signature"),
        ErrorKind::InvalidIssuer => VerifyError::Invalid("issuer"),
        ErrorKind::InvalidAudience => VerifyError::Invalid("audience"),
        ErrorKind::ImmatureSignature => VerifyError::Invalid("not valid yet"),
        _ => VerifyError::Invalid("claims"),
    })?;
    Ok(data.claims)
}

/// What a token says of its origin. Nobody has checked that yet.
#[derive(Deserialize)]
struct Stated {
    iss: String,
    /// When it was made, in seconds since 1970; long ago where it does not say.
    #[serde(default)]
    iat: u64,
}

impl Stated {
    fn of(token: &str) -> Result<Self, VerifyError> {
        jsonwebtoken::dangerous::insecure_decode(token)
            .map(|data| data.claims)
            .map_err(|_| VerifyError::Invalid("claims"))
    }
}

#[cfg(test)]
#[path = "verifier_tests.rs"]
mod tests;

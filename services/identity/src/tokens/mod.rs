//! Access tokens: ES256 JWTs about a person, a service of the mesh or a client.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use aws_lc_rs::error::{KeyRejected, Unspecified};
use chassis::{
    auth::{AUDIENCE, Claims, KeySource, TOKEN_TYPE, TokenKind},
    clock,
    db::{Db, Tx},
};
use contracts::caravan::identity::v1::{JsonWebKey, Revocation, SigningKey as PublishedKey};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use jsonwebtoken::{Algorithm, Header, Validation};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::{NoContext, Timestamp, Uuid};

use crate::{
    domain::{account::Account, revocation::Moment},
    store,
};

pub mod refresh;
mod revocations;
mod ring;
mod signing_key;

pub use revocations::Revocations;
use ring::Ring;
use signing_key::SigningKey;

/// The key that is made at the first boot.
const FIRST_GENERATION: i64 = 1;
/// How long before it is made a token begins, in seconds: a service whose clock is behind takes it too.
const BEGINS_EARLIER_S: u64 = 30;
/// How long after its end a token may count where clocks are apart.
const ENDS_LATER: Duration = Duration::from_secs(30);
/// Time between two looks at the keys of the database. Far below [`MIN_AHEAD`]: every replica publishes a new key in time.
const LOOKS_EVERY: Duration = Duration::from_secs(2);
/// Shortest time from a key's making to its first token: replicas look every two seconds, and whoever checks tokens asks for
/// an unknown key after five at most.
pub const MIN_AHEAD: Duration = Duration::from_secs(10);

/// Why a token or a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The signature failed.
    #[error("an access token could not be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// No new key could be made.
    #[error("a signing key could not be made")]
    Make(#[from] Unspecified),
    /// A stored key is not readable.
    #[error("a stored signing key is not readable")]
    Read(#[from] KeyRejected),
    /// There is none.
    #[error("there is no signing key")]
    None,
    /// The keys could not be loaded or stored.
    #[error("the signing keys could not be loaded")]
    Store(#[from] chassis::db::Error),
}

/// How tokens are made and keys are followed by others.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The `iss` of tokens.
    pub issuer: String,
    /// How long a token is good.
    pub lifetime: Duration,
    /// How long a key signs before another is made.
    pub key_max_age: Duration,
    /// How long a new key is published before it signs; at least [`MIN_AHEAD`].
    pub key_ahead: Duration,
}

/// A signed token.
#[derive(Clone)]
pub struct Token {
    /// The JWT.
    pub text: String,
    /// Seconds until it ends.
    pub expires_in_s: i32,
}

/// A key that nobody has seen yet.
#[derive(Clone)]
pub struct NewKey {
    pkcs8: Vec<u8>,
    /// The `kid` that it will have.
    pub id: String,
}

impl NewKey {
    /// Makes one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<Self, TokenError> {
        let pkcs8 = signing_key::generate()?;
        let id = SigningKey::read(&pkcs8)?.public().kid.clone();
        Ok(Self { pkcs8, id })
    }
}

/// Makes tokens, and publishes the keys that they are checked with. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    keys: ArcSwap<Ring>,
    revocations: Revocations,
}

impl Tokens {
    /// Loads the keys, and makes the first one where there is none. All replicas end up with the same.
    ///
    /// # Errors
    /// The database fails, or a stored key is not readable.
    pub async fn open(db: &Db, rules: Rules) -> Result<Self, TokenError> {
        if store::signing_keys::all(db.read()).await?.is_empty() {
            let (first, lifetime) = (&signing_key::generate()?, rules.lifetime);
            db.write(|tx| async move {
                let (key, now) = (first.clone(), clock::now());
                store::signing_keys::offer(&tx, FIRST_GENERATION, key, now, lifetime).await
            })
            .await?;
        }
        let tokens = Self {
            shared: Arc::new(Shared {
                rules,
                keys: ArcSwap::from_pointee(Ring::read(&[])?),
                revocations: Revocations::default(),
            }),
        };
        tokens.tend(db).await?;
        Ok(tokens)
    }

    /// Takes up keys that other replicas made, makes a new one when it is time, and removes those that count no more, until
    /// `drain`. What fails is tried again.
    pub async fn keep(&self, db: &Db, drain: &CancellationToken) {
        let mut looks = tokio::time::interval(LOOKS_EVERY);
        while drain.run_until_cancelled(looks.tick()).await.is_some() {
            if let Err(error) = self.tend(db).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "signing keys were not looked after");
            }
        }
    }

    async fn tend(&self, db: &Db) -> Result<(), TokenError> {
        self.reload(db).await?;
        let (now, rules) = (clock::now(), &self.shared.rules);
        let keys = self.shared.keys.load_full();
        let over = &keys.over(now);
        let outlived = keys.is_outlived_by(duration(rules.lifetime));
        let newest = keys.newest().ok_or(TokenError::None)?;
        let is_old = newest.1 + rules.key_max_age <= now;
        if over.is_empty() && !outlived && !is_old {
            return Ok(());
        }
        let next = &signing_key::generate()?;
        db.write(|tx| async move {
            if outlived {
                store::signing_keys::lengthen(&tx, rules.lifetime).await?;
            }
            if !over.is_empty() {
                store::signing_keys::remove(&tx, over.clone()).await?;
            }
            if is_old {
                let (number, from) = (newest.0 + 1, now + rules.key_ahead);
                store::signing_keys::offer(&tx, number, next.clone(), from, rules.lifetime).await?;
            }
            Ok::<_, chassis::db::Error>(())
        })
        .await?;
        tracing::info!(removed = over.len(), made = is_old, "signing keys changed");
        self.reload(db).await
    }

    /// Takes up the keys as they stand in the database.
    ///
    /// # Errors
    /// The database fails, or a stored key is not readable.
    pub async fn reload(&self, db: &Db) -> Result<(), TokenError> {
        let keys = Ring::read(&store::signing_keys::all(db.read()).await?)?;
        self.shared.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Publishes a new key that signs later; nothing where one waits for its turn already. With `compromised` it signs at
    /// once, and no other key counts any more. [`Tokens::reload`] takes it up.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rotate(&self, tx: &Tx, key: NewKey, compromised: bool) -> Result<(), TokenError> {
        let (now, rules) = (clock::now(), &self.shared.rules);
        let stored = store::signing_keys::all(tx).await?;
        let (newest, turn) = Ring::read(&stored)?.newest().ok_or(TokenError::None)?;
        let from = match compromised {
            true => now,
            false if now < turn => return Ok(()),
            false => now + rules.key_ahead,
        };
        store::signing_keys::offer(tx, newest + 1, key.pkcs8, from, rules.lifetime).await?;
        if compromised {
            let all = stored.iter().map(|key| key.generation).collect();
            store::signing_keys::remove(tx, all).await?;
        }
        Ok(())
    }

    /// The public keys (RFC 7517).
    pub fn public_keys(&self) -> Vec<JsonWebKey> {
        self.shared.keys.load().public(clock::now())
    }

    /// Every key with what it is there for, newest first.
    pub fn published_keys(&self) -> Vec<PublishedKey> {
        self.shared.keys.load().list(clock::now())
    }

    /// The tokens that count no more though they have not ended.
    pub fn revocations(&self) -> &Revocations {
        &self.shared.revocations
    }

    /// For whoever revokes tokens at this time.
    pub fn moment(&self, now: OffsetDateTime) -> Moment {
        Moment {
            now,
            ends: now + self.shared.rules.lifetime + ENDS_LATER,
        }
    }

    /// The `iss` of tokens.
    pub fn issuer(&self) -> &str {
        &self.shared.rules.issuer
    }

    /// What a token of ours says that is good now, as far as it says so itself.
    pub fn read(&self, token: &str, now: OffsetDateTime) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(TOKEN_TYPE) {
            return None;
        }
        let keys = self.shared.keys.load();
        let key = keys.find(header.kid.as_deref()?, now)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[self.issuer()]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.leeway = 0;
        validation.validate_nbf = true;
        let data = jsonwebtoken::decode(token, key.verifying(), &validation);
        data.ok().map(|data| data.claims)
    }

    /// A token about a person, from a session.
    ///
    /// # Errors
    /// The signature failed.
    pub fn for_account(
        &self,
        account: &Account,
        session: Uuid,
        now: OffsetDateTime,
    ) -> Result<Token, TokenError> {
        let mut claims = self.claims(TokenKind::User, account.parts().id.to_string(), now);
        claims.roles = account.role_names();
        claims.sid = Some(session);
        self.sign(&claims, now)
    }

    /// A token about a service of the mesh.
    ///
    /// # Errors
    /// The signature failed.
    pub fn for_service(&self, name: &str, now: OffsetDateTime) -> Result<Token, TokenError> {
        let mut claims = self.claims(TokenKind::Service, name.to_owned(), now);
        claims.client_id = Some(name.to_owned());
        self.sign(&claims, now)
    }

    /// A token about a client, with scopes parted by spaces.
    ///
    /// # Errors
    /// The signature failed.
    pub fn for_client(
        &self,
        client_id: &str,
        scope: String,
        now: OffsetDateTime,
    ) -> Result<Token, TokenError> {
        let mut claims = self.claims(TokenKind::Client, client_id.to_owned(), now);
        claims.client_id = Some(client_id.to_owned());
        claims.scope = Some(scope);
        self.sign(&claims, now)
    }

    fn claims(&self, kind: TokenKind, sub: String, now: OffsetDateTime) -> Claims {
        let nanos = now.nanosecond();
        let now = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        // Not of a clock of its own: what was true at `now` is what the token says, and what a revocation goes by.
        let id = Uuid::new_v7(Timestamp::from_unix(NoContext, now, nanos));
        Claims {
            iss: self.shared.rules.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub,
            exp: now + self.shared.rules.lifetime.as_secs(),
            nbf: now.saturating_sub(BEGINS_EARLIER_S),
            iat: now,
            jti: id.to_string(),
            kind,
            roles: Vec::new(),
            sid: None,
            client_id: None,
            scope: None,
        }
    }

    fn sign(&self, claims: &Claims, now: OffsetDateTime) -> Result<Token, TokenError> {
        let keys = self.shared.keys.load();
        let key = keys.signing(now).ok_or(TokenError::None)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(key.public().kid.clone());
        Ok(Token {
            text: jsonwebtoken::encode(&header, claims, key.private())?,
            expires_in_s: i32::try_from(self.shared.rules.lifetime.as_secs()).unwrap_or(i32::MAX),
        })
    }
}

fn duration(duration: Duration) -> time::Duration {
    duration.try_into().unwrap_or(time::Duration::MAX)
}

impl KeySource for Tokens {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        async { Ok(self.public_keys()) }.boxed()
    }

    fn revocations(&self) -> BoxStream<'static, Result<Vec<Revocation>, Status>> {
        self.shared.revocations.told().map(Ok).boxed()
    }
}

#[cfg(test)]
mod tests;

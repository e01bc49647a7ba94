//! Access tokens: ES256 JWTs about a person or a service.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::error::{KeyRejected, Unspecified};
use chassis::{
    auth::{AUDIENCE, Claims, KeySource, TOKEN_TYPE, TokenKind},
    db::Db,
};
use contracts::caravan::identity::v1::JsonWebKey;
use futures::{FutureExt as _, future::BoxFuture};
use jsonwebtoken::{Algorithm, Header};
use time::OffsetDateTime;
use tonic::Status;
use uuid::Uuid;

use crate::{domain::account::Account, store};

pub mod refresh;
mod signing_key;

use signing_key::SigningKey;

/// The key that is made at the first boot.
const FIRST_GENERATION: i64 = 1;

/// How long before it is made a token begins, in seconds: a service whose clock is behind takes it too.
const BEGINS_EARLIER_S: u64 = 30;

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

/// A signed token.
#[derive(Clone)]
pub struct Token {
    /// The JWT.
    pub text: String,
    /// Seconds until it ends.
    pub expires_in_s: i32,
}

/// Makes tokens, and publishes the keys that they are checked with. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: String,
    lifetime: Duration,
    /// Signs.
    newest: SigningKey,
    /// Every key that a token out there may be signed with.
    public: Vec<JsonWebKey>,
}

impl Tokens {
    /// Loads the keys, and makes the first one where there is none. All replicas end up with the same.
    ///
    /// # Errors
    /// The database fails, or a stored key is not readable.
    pub async fn open(db: &Db, issuer: &str, lifetime: Duration) -> Result<Self, TokenError> {
        let mut stored = store::signing_keys::all(db.read()).await?;
        if stored.is_empty() {
            let first = &signing_key::generate()?;
            db.write(|tx| async move {
                store::signing_keys::offer(&tx, FIRST_GENERATION, first.clone()).await
            })
            .await?;
            stored = store::signing_keys::all(db.read()).await?;
        }
        Self::new(issuer, lifetime, &stored)
    }

    /// Tokens signed with the first of these PKCS#8 keys, and checked with all.
    fn new(issuer: &str, lifetime: Duration, newest_first: &[Vec<u8>]) -> Result<Self, TokenError> {
        let keys = newest_first
            .iter()
            .map(|pkcs8| SigningKey::read(pkcs8))
            .collect::<Result<Vec<_>, _>>()?;
        let public = keys.iter().map(|key| key.public().clone()).collect();
        let newest = keys.into_iter().next().ok_or(TokenError::None)?;
        Ok(Self {
            shared: Arc::new(Shared {
                issuer: issuer.to_owned(),
                lifetime,
                newest,
                public,
            }),
        })
    }

    /// The public keys (RFC 7517).
    pub fn public_keys(&self) -> Vec<JsonWebKey> {
        self.shared.public.clone()
    }

    /// A token about a person.
    ///
    /// # Errors
    /// The signature failed.
    pub fn for_account(&self, account: &Account, now: OffsetDateTime) -> Result<Token, TokenError> {
        self.sign(
            TokenKind::User,
            account.parts().id.to_string(),
            account.role_names(),
            now,
        )
    }

    /// A token about a service.
    ///
    /// # Errors
    /// The signature failed.
    pub fn for_service(&self, name: &str, now: OffsetDateTime) -> Result<Token, TokenError> {
        self.sign(TokenKind::Service, name.to_owned(), Vec::new(), now)
    }

    fn sign(
        &self,
        kind: TokenKind,
        sub: String,
        roles: Vec<String>,
        now: OffsetDateTime,
    ) -> Result<Token, TokenError> {
        let now = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        let lifetime_s = self.shared.lifetime.as_secs();
        let claims = Claims {
            iss: self.shared.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub,
            exp: now + lifetime_s,
            nbf: now.saturating_sub(BEGINS_EARLIER_S),
            iat: now,
            jti: Uuid::now_v7().to_string(),
            kind,
            roles,
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.shared.newest.public().kid.clone());
        let text = jsonwebtoken::encode(&header, &claims, self.shared.newest.private())?;
        Ok(Token {
            text,
            expires_in_s: i32::try_from(lifetime_s).unwrap_or(i32::MAX),
        })
    }
}

impl KeySource for Tokens {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        async { Ok(self.public_keys()) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use chassis::{Caller, auth::Verifier};

    use super::*;
    use crate::domain::account::{Registered, Role};

    fn tokens(keys: &[Vec<u8>]) -> Tokens {
        Tokens::new("caravan", Duration::from_secs(3600), keys).expect("good keys")
    }

    fn key() -> Vec<u8> {
        signing_key::generate().expect("randomness")
    }

    #[tokio::test]
    async fn the_mesh_takes_our_tokens_for_what_they_say() {
        let tokens = tokens(&[key()]);
        let verifier = Verifier::new("caravan", tokens.clone());
        let Registered(ada) = Account::register(
            Uuid::now_v7(),
            "ada@example.org",
            "Ada",
            vec![Role::Customer],
            OffsetDateTime::UNIX_EPOCH,
        )
        .expect("good");
        let token = tokens
            .for_account(&ada, chassis::clock::now())
            .expect("signed");
        assert_eq!(token.expires_in_s, 3600);
        let caller = verifier.verify(&token.text).await.expect("good");
        assert_eq!(
            caller,
            Caller::User {
                id: ada.parts().id,
                roles: vec!["customer".into()]
            }
        );

        let token = tokens
            .for_service("ordering", chassis::clock::now())
            .expect("signed");
        let caller = verifier.verify(&token.text).await.expect("good");
        assert_eq!(
            caller,
            Caller::Service {
                name: "ordering".into()
            }
        );
    }

    #[tokio::test]
    async fn a_token_ends_and_others_keys_do_not_count() {
        let tokens = tokens(&[key()]);
        let verifier = Verifier::new("caravan", tokens.clone());
        let long_ago = chassis::clock::now() - time::Duration::HOUR * 2;
        let old = tokens.for_service("ordering", long_ago).expect("signed");
        assert!(verifier.verify(&old.text).await.is_err());
        let strange = self::tokens(&[key()])
            .for_service("ordering", chassis::clock::now())
            .expect("signed");
        assert!(verifier.verify(&strange.text).await.is_err());
    }

    #[tokio::test]
    async fn a_clock_that_is_behind_takes_a_new_token() {
        let tokens = tokens(&[key()]);
        let verifier = Verifier::new("caravan", tokens.clone());
        let ahead = chassis::clock::now() + time::Duration::seconds(20);
        let token = tokens.for_service("saga", ahead).expect("signed");
        assert!(verifier.verify(&token.text).await.is_ok());
    }

    #[tokio::test]
    async fn the_newest_key_signs_and_older_ones_still_count() {
        let (old, new) = (key(), key());
        let before = tokens(std::slice::from_ref(&old))
            .for_service("saga", chassis::clock::now())
            .expect("signed");
        let after = tokens(&[new.clone(), old]);
        let verifier = Verifier::new("caravan", after.clone());
        assert!(verifier.verify(&before.text).await.is_ok());
        let token = after
            .for_service("saga", chassis::clock::now())
            .expect("signed");
        let kid = jsonwebtoken::decode_header(&token.text).expect("a JWT").kid;
        assert_eq!(
            kid.as_deref(),
            Some(SigningKey::read(&new).expect("good").public().kid.as_str())
        );
    }
}

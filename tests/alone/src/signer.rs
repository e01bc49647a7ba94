//! Somebody who signs access tokens, and whose key verifiers can ask for.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::auth::{AUDIENCE, Claims, KeySource, TOKEN_TYPE, TokenKind};
use contracts::caravan::identity::v1::JsonWebKey;
use futures::{FutureExt as _, future::BoxFuture};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use tonic::Status;
use uuid::Uuid;

/// The id of the one key.
const KEY_ID: &str = "test";
/// How long its tokens are good.
pub(crate) const LIFETIME_S: i32 = 3600;

/// Signs tokens of issuer `caravan` with a key of its own.
#[derive(Clone)]
pub struct Signer {
    private: Arc<EncodingKey>,
    public: JsonWebKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Signer")
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}

impl Signer {
    /// A signer with a fresh key.
    pub fn new() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .expect("the system has randomness");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
            .expect("just made");
        // An uncompressed point: 0x04, x, y.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let public = JsonWebKey {
            kty: "EC".to_owned(),
            crv: "P-256".to_owned(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
            kid: KEY_ID.to_owned(),
            r#use: "sig".to_owned(),
            alg: "ES256".to_owned(),
        };
        Self {
            private: Arc::new(EncodingKey::from_ec_der(pkcs8.as_ref())),
            public,
        }
    }

    /// The public half of the key.
    pub fn public(&self) -> &JsonWebKey {
        &self.public
    }

    /// A token of a person with these roles.
    pub fn user(&self, id: Uuid, roles: &[&str]) -> String {
        let roles = roles.iter().map(ToString::to_string).collect();
        self.sign(TokenKind::User, id.to_string(), roles)
    }

    /// A token of a service.
    pub fn service(&self, name: &str) -> String {
        self.sign(TokenKind::Service, name.to_owned(), Vec::new())
    }

    fn sign(&self, kind: TokenKind, sub: String, roles: Vec<String>) -> String {
        let now = get_current_timestamp();
        let claims = Claims {
            iss: "caravan".to_owned(),
            aud: AUDIENCE.to_owned(),
            sub,
            exp: now + u64::from(LIFETIME_S.unsigned_abs()),
            nbf: now,
            iat: now,
            jti: Uuid::now_v7().to_string(),
            kind,
            roles,
            sid: None,
            client_id: None,
            scope: None,
        };
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(KEY_ID.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.private).expect("the key signs")
    }
}

impl KeySource for Signer {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        async { Ok(vec![self.public.clone()]) }.boxed()
    }
}

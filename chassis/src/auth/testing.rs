//! For tests: somebody who signs tokens, and a key source that can be switched off.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::caravan::identity::v1::JsonWebKey;
use futures::{FutureExt as _, future::BoxFuture};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

use super::{AUDIENCE, KeySource, TOKEN_TYPE};

/// Signs tokens with a key of its own.
#[derive(Clone)]
pub(crate) struct Signer {
    kid: String,
    pkcs8: Arc<[u8]>,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self {
            kid: kid.to_owned(),
            pkcs8: pkcs8.as_ref().into(),
        }
    }

    /// The public half.
    pub(crate) fn jwk(&self) -> JsonWebKey {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap();
        // An uncompressed point: 0x04, x, y.
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        JsonWebKey {
            kty: "EC".into(),
            crv: "P-256".into(),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
            kid: self.kid.clone(),
            r#use: "sig".into(),
            alg: "ES256".into(),
        }
    }

    pub(crate) fn header(&self) -> Header {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.kid.clone());
        header
    }

    pub(crate) fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_der(&self.pkcs8)).unwrap()
    }

    pub(crate) fn user(&self, id: Uuid, roles: &[&str]) -> String {
        let mut claims = claims("user", &id.to_string());
        claims["roles"] = json!(roles);
        self.sign(&self.header(), &claims)
    }

    pub(crate) fn service(&self, name: &str) -> String {
        self.sign(&self.header(), &claims("service", name))
    }
}

/// Claims that count for a minute.
pub(crate) fn claims(kind: &str, subject: &str) -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    json!({
        "iss": "caravan", "aud": AUDIENCE, "sub": subject, "kind": kind, "jti": Uuid::now_v7(),
        "exp": now + 60, "nbf": now, "iat": now,
    })
}

/// Keys that can be exchanged and made unreachable.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    pub(crate) keys: Arc<arc_swap::ArcSwap<Vec<JsonWebKey>>>,
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) asked: Arc<AtomicU32>,
}

impl Keys {
    pub(crate) fn of(signer: &Signer) -> Self {
        let keys = Self::default();
        keys.keys.store(Arc::new(vec![signer.jwk()]));
        keys
    }
}

impl KeySource for Keys {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        async {
            match self.away.load(Ordering::SeqCst) {
                true => Err(Status::unavailable("away")),
                false => Ok(self.keys.load().to_vec()),
            }
        }
        .boxed()
    }
}

//! An identity service of the test's own: it signs what it is asked to.

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chassis::auth::{AUDIENCE, Claims, TOKEN_TYPE, TokenKind};
use contracts::caravan::identity::v1 as pb;
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use uuid::Uuid;

use crate::neighbour::Neighbour;

/// The id of the one key.
const KEY_ID: &str = "test";
/// How long its tokens are good.
const LIFETIME_S: i32 = 3600;

/// A running identity service. Ends with the value.
#[derive(Debug)]
pub(crate) struct Identity {
    signer: Signer,
    server: Neighbour,
}

#[derive(Clone)]
struct Signer {
    private: Arc<EncodingKey>,
    public: pb::JsonWebKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Signer")
    }
}

impl Identity {
    pub(crate) async fn start() -> Self {
        let signer = Signer::new();
        let keys = pb::GetKeySetResponse {
            keys: vec![signer.public.clone()],
        };
        let issuer = signer.clone();
        // What services ask identity for; people are the test's business.
        let server = Neighbour::builder()
            .answers(
                "/caravan.identity.v1.IdentityService/GetKeySet",
                move |_: pb::GetKeySetRequest| keys.clone(),
            )
            .answers(
                "/caravan.identity.v1.OAuthService/IssueToken",
                move |request: pb::IssueTokenRequest| pb::IssueTokenResponse {
                    access_token: issuer.sign(TokenKind::Service, request.client_id, Vec::new()),
                    token_type: "Bearer".to_owned(),
                    expires_in: LIFETIME_S,
                    scope: String::new(),
                },
            )
            .start()
            .await;
        Self { signer, server }
    }

    pub(crate) fn url(&self) -> &str {
        self.server.url()
    }

    /// A token of a person with these roles.
    pub(crate) fn user(&self, id: Uuid, roles: &[&str]) -> String {
        self.signer.sign(
            TokenKind::User,
            id.to_string(),
            roles.iter().map(ToString::to_string).collect(),
        )
    }

    /// A token of a service.
    pub(crate) fn service(&self, name: &str) -> String {
        self.signer
            .sign(TokenKind::Service, name.to_owned(), Vec::new())
    }
}

impl Signer {
    fn new() -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .expect("the system has randomness");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
            .expect("just made");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let public = pb::JsonWebKey {
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

    fn sign(&self, kind: TokenKind, sub: String, roles: Vec<String>) -> String {
        let now = get_current_timestamp();
        let claims = Claims {
            iss: "caravan".to_owned(),
            aud: AUDIENCE.to_owned(),
            sub,
            exp: now + LIFETIME_S.unsigned_abs() as u64,
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

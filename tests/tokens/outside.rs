//! Tokens of another issuer, through the gateway and at every service: an HTTP server of the test's own publishes its keys, as
//! Keycloak does.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use kit::{Engine, Setup, World, wait::until};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::Code;

use crate::wire::{bearing, everywhere, services};

const ISSUER: &str = "https://id.example.com/realms/shop";

/// A key of the issuer's.
struct Key {
    kid: &'static str,
    private: EncodingKey,
    public: Value,
}

impl Key {
    fn new(kid: &'static str) -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).expect("randomness");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("just made");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        Self {
            kid,
            private: EncodingKey::from_ed_der(pkcs8.as_ref()),
            public: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": x}),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.to_owned());
        jsonwebtoken::encode(&header, claims, &self.private).expect("signed")
    }
}

fn claims(roles: &[&str]) -> Value {
    let now = get_current_timestamp();
    json!({
        "iss": ISSUER, "aud": ["account", "caravan"], "sub": "8d1f0c", "typ": "Bearer",
        "exp": now + 600, "iat": now, "realm_access": {"roles": roles},
    })
}

/// Publishes keys until the test ends.
async fn publish(keys: Arc<Mutex<Vec<Value>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = json!({"keys": *keys.lock().expect("unpoisoned")}).to_string();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}/certs")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn people_of_another_issuer_are_let_in_as_its_settings_say() {
    let (first, second) = (Key::new("first"), Key::new("second"));
    let keys = Arc::new(Mutex::new(vec![first.public.clone()]));
    let url = publish(keys.clone()).await;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let issuers = json!([{
        "issuer": ISSUER, "audience": "caravan", "jwks_url": url, "allow_http": true,
        "roles_claim": "realm_access.roles", "roles": {"shop-operator": "operator"},
    }]);
    std::fs::write(file.path(), issuers.to_string()).expect("written");
    let path = file.path().display().to_string();
    let setup = Setup::on(Engine::Sqlite).variable("OUTSIDE_ISSUERS_FILE", &path);
    let world = World::start_with(setup)
        .await
        .expect("SQLite is always there");
    let services = services(&world);
    let fate = async |token: &str| {
        let mut codes: Vec<_> = everywhere(&services, token)
            .await
            .into_iter()
            .map(|(_, code)| code)
            .collect();
        codes.dedup();
        (
            bearing(&world, token).get("/v1/signing-keys").await.status,
            codes,
        )
    };

    let operator = first.sign(&claims(&["shop-operator", "offline_access"]));
    assert_eq!(fate(&operator).await, (200, vec![Code::Ok]));
    // Names of our own roles mean nothing there.
    let nobody = first.sign(&claims(&["admin", "operator"]));
    assert_eq!(fate(&nobody).await, (403, vec![Code::PermissionDenied]));
    let with = |claim: &str, value: Value| {
        let mut claims = claims(&["shop-operator"]);
        claims[claim] = value;
        first.sign(&claims)
    };
    let now = get_current_timestamp();
    for (fault, token) in [
        (
            "issuer",
            with("iss", json!("https://id.example.com/realms/other")),
        ),
        ("our issuer", with("iss", json!("caravan"))),
        ("audience", with("aud", json!("account"))),
        ("expired", with("exp", json!(now - 60))),
        ("ID token", with("typ", json!("ID"))),
    ] {
        assert_eq!(
            fate(&token).await,
            (401, vec![Code::Unauthenticated]),
            "{fault}"
        );
    }

    // Its key changes: the new one counts as soon as somebody has looked.
    *keys.lock().expect("unpoisoned") = vec![first.public.clone(), second.public.clone()];
    let token = second.sign(&claims(&["shop-operator"]));
    until("the new key counts everywhere", || async {
        let fate = fate(&token).await;
        (fate == (200, vec![Code::Ok])).then_some(()).ok_or(fate)
    })
    .await;
    assert_eq!(
        fate(&operator).await,
        (200, vec![Code::Ok]),
        "and the old one still"
    );
}

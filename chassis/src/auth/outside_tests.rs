use aws_lc_rs::{
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use axum::{Router, routing::get};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use super::*;
use crate::auth::{
    Verifier,
    testing::{Keys, Signer},
};

const ISSUER: &str = "https://id.example.com/realms/shop";

/// A key of somebody else's issuer.
struct Foreign {
    algorithm: Algorithm,
    private: EncodingKey,
    jwk: Value,
}

impl Foreign {
    fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public = pair.public_key();
        let n = public.modulus().big_endian_without_leading_zero();
        let e = public.exponent().big_endian_without_leading_zero();
        let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair);
        // As DER jsonwebtoken takes PKCS#1 only.
        let pem = STANDARD.encode(der.expect("PKCS#8").as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
        Self {
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key"),
            jwk: json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": encode(n), "e": encode(e)}),
        }
    }

    fn ed25519(kid: &str) -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("just made");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        Self {
            algorithm: Algorithm::EdDSA,
            private: EncodingKey::from_ed_der(pkcs8.as_ref()),
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x}),
        }
    }

    fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = self.jwk["kid"].as_str().map(str::to_owned);
        header
    }

    fn sign(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.private).expect("signed")
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims)
    }
}

/// As Keycloak writes them.
fn claims() -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    json!({
        "iss": ISSUER, "aud": ["account", "caravan"], "sub": "8d1f", "typ": "Bearer",
        "exp": now + 60, "iat": now - 60, "realm_access": {"roles": ["shop-admin", "uma"]},
    })
}

/// A key set that is served by HTTP.
#[derive(Clone, Default)]
struct Published {
    text: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicU32>,
}

impl Published {
    async fn serve(keys: &[&Foreign]) -> (Self, String) {
        let published = Self::default();
        published.set(keys);
        let handler = published.clone();
        let app = Router::new().route(
            "/certs",
            get(move || async move {
                handler.asked.fetch_add(1, Ordering::SeqCst);
                handler.text.lock().expect("unpoisoned").clone()
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        (published, format!("http://{address}/certs"))
    }

    fn set(&self, keys: &[&Foreign]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk.clone()).collect();
        self.set_text(StatusCode::OK, json!({"keys": keys}).to_string());
    }

    fn set_text(&self, status: StatusCode, text: String) {
        *self.text.lock().expect("unpoisoned") = (status, text);
    }
}

fn issuer(url: &str) -> OutsideIssuer {
    OutsideIssuer {
        issuer: ISSUER.into(),
        audience: "caravan".into(),
        jwks_url: url.into(),
        allow_http: true,
        roles_claim: "realm_access.roles".into(),
        roles: [("shop-admin".to_owned(), "admin".to_owned())].into(),
    }
}

/// Checks tokens of our own signer and of the outside issuer at `url`.
fn verifier(own: &Signer, url: &str) -> Verifier {
    Verifier::with_outside("caravan", Keys::of(own), vec![issuer(url)]).expect("a client")
}

#[tokio::test]
async fn a_person_of_another_issuer_has_the_roles_that_we_give() {
    let (rsa, ed) = (Foreign::rsa("r"), Foreign::ed25519("e"));
    let (_, url) = Published::serve(&[&rsa, &ed]).await;
    let own = Signer::new("own");
    let verifier = verifier(&own, &url);
    let of = |subject: &str, roles: &[&str]| Caller::User {
        id: issuer(&url).account(subject),
        roles: roles.iter().map(ToString::to_string).collect(),
    };
    for key in [&rsa, &ed] {
        let caller = verifier.verify(&key.token(&claims())).await.expect("good");
        assert_eq!(caller, of("8d1f", &["admin"]));
    }
    let mut other = claims();
    other["sub"] = json!("auth0|77");
    // A role of ours under its own name is none that the issuer may give.
    other["realm_access"]["roles"] = json!(["admin", "shop-support"]);
    let caller = verifier.verify(&rsa.token(&other)).await.expect("good");
    assert_eq!(caller, of("auth0|77", &[]));
    // Ours count as before.
    verifier.verify(&own.service("saga")).await.expect("good");
}

#[tokio::test]
async fn an_id_of_one_of_our_accounts_is_nobodys_elsewhere() {
    let issuer = issuer("http://127.0.0.1/certs");
    let ours = Uuid::now_v7();
    assert_ne!(issuer.account(&ours.to_string()), ours);
    assert_eq!(issuer.account("a"), issuer.account("a"));
    let other = OutsideIssuer {
        issuer: "https://other.example.com".into(),
        ..issuer.clone()
    };
    assert_ne!(issuer.account("a"), other.account("a"));
}

#[tokio::test]
async fn what_is_wrong_with_a_token_of_another_issuer_is_refused() {
    let (rsa, ed) = (Foreign::rsa("r"), Foreign::ed25519("e"));
    let (_, url) = Published::serve(&[&rsa, &ed]).await;
    let own = Signer::new("own");
    let verifier = verifier(&own, &url);
    let with = |claim: &str, value: Value| {
        let mut claims = claims();
        claims[claim] = value;
        rsa.token(&claims)
    };
    let now = jsonwebtoken::get_current_timestamp();
    let named = |kid: &str| {
        let mut header = ed.header();
        header.kid = Some(kid.to_owned());
        ed.sign(&header, &claims())
    };
    let mut bringing = rsa.header();
    bringing.jku = Some(url.clone());
    let public = rsa.jwk["n"].as_str().expect("text").as_bytes();
    let mut hmac = Header::new(Algorithm::HS256);
    hmac.kid = Some("r".into());
    let hmac = jsonwebtoken::encode(&hmac, &claims(), &EncodingKey::from_secret(public));
    let mut as_ours = claims();
    as_ours["iss"] = json!("caravan");
    for (fault, token) in [
        ("issuer", with("iss", json!("https://evil.example.com"))),
        ("our issuer", rsa.token(&as_ours)),
        ("audience", with("aud", json!(["account"]))),
        ("no audience", with("aud", Value::Null)),
        ("expired", with("exp", json!(now - 60))),
        ("no end", with("exp", Value::Null)),
        ("too early", with("nbf", json!(now + 60))),
        ("ID token", with("typ", json!("ID"))),
        ("refresh token", with("typ", json!("Refresh"))),
        ("no subject", with("sub", json!(""))),
        ("algorithm of another key", named("r")),
        ("unknown key", named("../r")),
        ("brings its keys", rsa.sign(&bringing, &claims())),
        ("HMAC with the public key", hmac.expect("signed")),
        (
            "none",
            format!("eyJhbGciOiJub25lIiwia2lkIjoiciJ9.{}.", "e30"),
        ),
        ("our key", own.sign(&own.header(), &claims())),
    ] {
        let outcome = verifier.verify(&token).await;
        assert!(outcome.is_err(), "{fault}: {outcome:?}");
    }
    verifier.verify(&rsa.token(&claims())).await.expect("good");
}

#[tokio::test]
async fn a_new_key_is_looked_for_once_and_a_gone_one_counts_no_more() {
    let (old, new) = (Foreign::ed25519("old"), Foreign::ed25519("new"));
    let (published, url) = Published::serve(&[&new]).await;
    let own = Signer::new("own");
    let verifier = verifier(&own, &url);
    verifier.verify(&new.token(&claims())).await.expect("good");
    for _ in 0..20 {
        let unknown = verifier.verify(&old.token(&claims())).await;
        assert!(unknown.is_err(), "{unknown:?}");
    }
    assert_eq!(published.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_odd_key_set_leaves_the_keys_as_they_are() {
    let key = Foreign::ed25519("e");
    let (published, url) = Published::serve(&[&key]).await;
    let keys = issuer(&url).keys().expect("a client");
    let stop = tokio_util::sync::CancellationToken::new();
    keys.get("e", 0).await.expect("an answer").expect("a key");
    let large = format!(r#"{{"keys": [], "x": "{}"}}"#, "x".repeat(300 * 1024));
    for (status, text) in [
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({"keys": []}).to_string(),
        ),
        (StatusCode::FOUND, json!({"keys": []}).to_string()),
        (StatusCode::OK, large),
        (StatusCode::OK, "<html>".to_owned()),
        (
            StatusCode::OK,
            json!({"keys": [{"kty": "oct", "k": "AA", "kid": "e"}]}).to_string(),
        ),
    ] {
        published.set_text(status, text);
        let before = published.asked.load(Ordering::SeqCst);
        let once = stop.child_token();
        let asked = async {
            while published.asked.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            once.cancel();
        };
        tokio::join!(keys.keep_fresh(once.clone()), asked);
        assert!(keys.has("e"), "{status}");
    }
}

#[test]
fn odd_settings_are_named() {
    let entry = |change: &dyn Fn(&mut Value)| {
        let mut entry = json!({
            "issuer": ISSUER, "audience": "caravan", "jwks_url": "https://id.example.com/certs",
            "roles_claim": "https://shop.example.com/roles", "roles": {"a": "admin", "c": "customer"},
        });
        change(&mut entry);
        entry
    };
    let good = entry(&|_| {});
    let parse = |issuers: &[Value]| OutsideIssuer::parse(&json!(issuers).to_string(), "caravan");
    assert_eq!(parse(std::slice::from_ref(&good)).expect("good").len(), 1);
    for (issuers, told) in [
        (vec![good.clone(), good.clone()], "named twice"),
        (
            vec![entry(&|e| e["issuer"] = json!("caravan"))],
            "the mesh's own",
        ),
        (
            vec![entry(&|e| e["audience"] = json!(""))],
            "`audience` is empty",
        ),
        (
            vec![entry(&|e| e["jwks_url"] = json!("http://id/certs"))],
            "allow_http",
        ),
        (
            vec![entry(&|e| e["jwks_url"] = json!("/certs"))],
            "names no host",
        ),
        (
            vec![entry(&|e| e["roles"]["a"] = json!("root"))],
            "`root` is no role",
        ),
        (
            vec![entry(&|e| e["roles_claim"] = json!(""))],
            "come together",
        ),
        (
            vec![entry(&|e| e["jwks"] = json!("x"))],
            "unknown field `jwks`",
        ),
    ] {
        let error = format!("{:#}", parse(&issuers).expect_err(told));
        assert!(error.contains(told), "{error}");
    }
    let named = parse(&[good]).expect("good");
    let claims = json!({"https://shop.example.com/roles": "a b"});
    let roles = named[0].roles_of(claims.as_object().expect("an object"));
    assert_eq!(
        roles,
        ["admin"],
        "also a name with dots, and a list in one text"
    );
}

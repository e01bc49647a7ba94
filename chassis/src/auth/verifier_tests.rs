use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::caravan::identity::v1::{JsonWebKey, Revocation};
use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::auth::{
    mark,
    testing::{Keys, Signer, claims},
};

/// What a good token becomes after a change.
async fn outcome(
    change: impl FnOnce(&mut jsonwebtoken::Header, &mut Value),
) -> Result<Caller, VerifyError> {
    let signer = Signer::new("k1");
    let (mut header, mut claims) = (signer.header(), claims("user", &Uuid::nil().to_string()));
    change(&mut header, &mut claims);
    Verifier::new("caravan", Keys::of(&signer))
        .verify(&signer.sign(&header, &claims))
        .await
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

#[tokio::test]
async fn a_good_token_names_its_holder() {
    let signer = Signer::new("k1");
    let verifier = Verifier::new("caravan", Keys::of(&signer));
    let id = Uuid::now_v7();
    let user = verifier.verify(&signer.user(id, &["admin"])).await.unwrap();
    assert_eq!(
        user,
        Caller::User {
            id,
            roles: vec!["admin".into()]
        }
    );
    let service = verifier.verify(&signer.service("saga")).await.unwrap();
    assert_eq!(
        service,
        Caller::Service {
            name: "saga".into()
        }
    );
}

#[tokio::test]
async fn every_claim_counts() {
    assert!(outcome(|_, _| {}).await.is_ok());
    let expired = outcome(|_, claims| claims["exp"] = json!(now() - 6)).await;
    assert!(matches!(expired, Err(VerifyError::Expired)), "{expired:?}");
    // Clocks may be a little apart.
    assert!(
        outcome(|_, claims| claims["exp"] = json!(now() - 2))
            .await
            .is_ok()
    );
    assert!(
        outcome(|_, claims| claims["nbf"] = json!(now() + 2))
            .await
            .is_ok()
    );
    for (claim, value) in [
        ("iss", json!("somebody")),
        ("aud", json!("other")),
        ("nbf", json!(now() + 60)),
        ("sub", json!("no uuid")),
        ("kind", json!("robot")),
        ("exp", Value::Null),
        ("nbf", Value::Null),
        ("iss", Value::Null),
        ("aud", Value::Null),
    ] {
        let result = outcome(|_, claims| claims[claim] = value.clone()).await;
        assert!(
            matches!(result, Err(VerifyError::Invalid(_))),
            "{claim}={value}: {result:?}"
        );
    }
}

#[tokio::test]
async fn header_tricks_are_refused() {
    for (trick, result) in [
        (
            "typ",
            outcome(|header, _| header.typ = Some("JWT".into())).await,
        ),
        ("no typ", outcome(|header, _| header.typ = None).await),
        (
            "jku",
            outcome(|header, _| header.jku = Some("http://evil/keys".into())).await,
        ),
        (
            "x5u",
            outcome(|header, _| header.x5u = Some("http://evil/cert".into())).await,
        ),
        ("no kid", outcome(|header, _| header.kid = None).await),
        (
            "kid",
            outcome(|header, _| header.kid = Some("../../k1".into())).await,
        ),
    ] {
        assert!(
            matches!(result, Err(VerifyError::Invalid(_))),
            "{trick}: {result:?}"
        );
    }
}

#[tokio::test]
async fn only_our_algorithm_and_our_key_count() {
    let signer = Signer::new("k1");
    let verifier = Verifier::new("caravan", Keys::of(&signer));
    let token = signer.user(Uuid::nil(), &[]);
    let parts: Vec<_> = token.split('.').collect();

    let header = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let none = format!(
        "{}.{}.",
        header(json!({"alg": "none", "typ": "at+jwt", "kid": "k1"})),
        parts[1]
    );
    let hmac = header(json!({"alg": "HS256", "typ": "at+jwt", "kid": "k1"}));
    let hmac = format!("{hmac}.{}.{}", parts[1], parts[2]);
    let own_key = header(
        json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1", "jwk": {"kty": "EC", "crv": "P-256",
        "x": signer.jwk().x, "y": signer.jwk().y}}),
    );
    let own_key = format!("{own_key}.{}.{}", parts[1], parts[2]);
    let mut admin = claims("user", &Uuid::nil().to_string());
    admin["roles"] = json!(["admin"]);
    let changed = format!(
        "{}.{}.{}",
        parts[0],
        URL_SAFE_NO_PAD.encode(admin.to_string()),
        parts[2]
    );
    let stranger = Signer::new("k1").user(Uuid::nil(), &["admin"]);
    for token in [
        none,
        hmac,
        own_key,
        changed,
        stranger,
        String::new(),
        "a.b.c".into(),
        "x".repeat(9000),
    ] {
        let result = verifier.verify(&token).await;
        assert!(
            matches!(result, Err(VerifyError::Invalid(_))),
            "{token}: {result:?}"
        );
    }
}

#[tokio::test]
async fn cached_keys_serve_while_the_source_is_away() {
    let signer = Signer::new("k1");
    let keys = Keys::of(&signer);
    let verifier = Verifier::new("caravan", keys.clone());
    keys.away.store(true, Ordering::SeqCst);
    let nothing = verifier.verify(&signer.service("saga")).await;
    assert!(matches!(nothing, Err(VerifyError::Keys(_))), "{nothing:?}");
    assert_eq!(nothing.unwrap_err().status().code(), Code::Unavailable);

    let verifier = Verifier::new("caravan", keys.clone());
    keys.away.store(false, Ordering::SeqCst);
    verifier.verify(&signer.service("saga")).await.unwrap();
    keys.away.store(true, Ordering::SeqCst);
    verifier.verify(&signer.service("ordering")).await.unwrap();
    // Of a key that is newer than the cached ones nothing can be said.
    let unknown = verifier.verify(&Signer::new("k2").service("saga")).await;
    assert!(matches!(unknown, Err(VerifyError::Keys(_))), "{unknown:?}");
}

#[tokio::test]
async fn unknown_keys_do_not_flood_the_source() {
    let signer = Signer::new("k1");
    let keys = Keys::of(&signer);
    let verifier = Verifier::new("caravan", keys.clone());
    let unknown = async |made_at_s: u64| {
        let stranger = Signer::new("stranger");
        let mut claims = claims("service", "saga");
        claims["iat"] = json!(made_at_s);
        verifier
            .verify(&stranger.sign(&stranger.header(), &claims))
            .await
            .expect_err("nobody knows the key")
    };
    let first = unknown(now()).await;
    assert!(
        matches!(first, VerifyError::Invalid("unknown key")),
        "asked for this very token: {first:?}"
    );
    for _ in 0..20 {
        let new = unknown(now()).await;
        assert!(matches!(new, VerifyError::Keys(_)), "too early: {new:?}");
        assert_eq!(new.status().code(), Code::Unavailable);
        let old = unknown(now() - 60).await;
        assert!(
            matches!(old, VerifyError::Invalid("unknown key")),
            "the answer is younger than the token: {old:?}"
        );
    }
    assert_eq!(keys.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_source_that_fails_says_nothing_about_a_key() {
    let keys = Keys::of(&Signer::new("k1"));
    let verifier = Verifier::new("caravan", keys.clone());
    keys.away.store(true, Ordering::SeqCst);
    let (signer, mut old) = (Signer::new("k2"), claims("service", "saga"));
    old["iat"] = json!(now() - 60);
    let token = signer.sign(&signer.header(), &old);
    for _ in 0..2 {
        let result = verifier.verify(&token).await;
        assert!(matches!(result, Err(VerifyError::Keys(_))), "{result:?}");
    }
}

#[tokio::test]
async fn a_withdrawn_key_takes_its_tokens_along() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let keys = Keys::of(&old);
    let verifier = Verifier::new("caravan", keys.clone());
    // Older than the answer that no longer names its key, whatever the clocks' leeway.
    let mut made_before = claims("service", "saga");
    made_before["iat"] = json!(now() - 60);
    let token = old.sign(&old.header(), &made_before);
    verifier.verify(&token).await.unwrap();
    keys.keys.store(std::sync::Arc::new(vec![new.jwk()]));

    // As the background refresh does it.
    let stop = CancellationToken::new();
    let refresh = tokio::spawn({
        let (verifier, stop) = (verifier.clone(), stop.clone());
        async move { verifier.keep_fresh(stop).await }
    });
    while keys.asked.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    refresh.await.unwrap();
    assert!(matches!(
        verifier.verify(&token).await,
        Err(VerifyError::Invalid(_))
    ));
    verifier.verify(&new.service("saga")).await.unwrap();
}

/// Keys, and one revocation.
struct Telling(Keys, Revocation);

impl KeySource for Telling {
    fn key_set(&self) -> BoxFuture<'_, Result<Vec<JsonWebKey>, Status>> {
        self.0.key_set()
    }

    fn revocations(&self) -> BoxStream<'static, Result<Vec<Revocation>, Status>> {
        let told = stream::iter([Ok(Vec::new()), Ok(vec![self.1.clone()])]);
        told.chain(stream::pending()).boxed()
    }
}

#[tokio::test]
async fn a_revoked_token_counts_no_more_also_when_it_was_seen_before() {
    let (signer, ended) = (Signer::new("k1"), Uuid::now_v7());
    let token = |session: Uuid| {
        let mut claims = claims("user", &Uuid::now_v7().to_string());
        claims["sid"] = json!(session);
        signer.sign(&signer.header(), &claims)
    };
    let end = i64::try_from(now() + 60).unwrap();
    let revocation = Revocation {
        mark: mark(ended).to_vec(),
        made_until: None,
        expire_time: Some(prost_types::Timestamp {
            seconds: end,
            nanos: 0,
        }),
    };
    let verifier = Verifier::new("caravan", Telling(Keys::of(&signer), revocation));
    let (ended, other) = (token(ended), token(Uuid::now_v7()));
    verifier.verify(&ended).await.unwrap();
    verifier.verify(&other).await.unwrap();
    let stop = CancellationToken::new();
    let heard = async {
        while verifier.verify(&ended).await.is_ok() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(verifier.keep_fresh(stop.clone()), heard);
    let refusal = verifier.verify(&ended).await.unwrap_err();
    assert!(matches!(refusal, VerifyError::Revoked), "{refusal:?}");
    assert_eq!(crate::status::reason(&refusal.status()), "TOKEN_REVOKED");
    verifier.verify(&other).await.unwrap();
}

use chassis::{Caller, auth::Verifier};

use super::*;
use crate::{
    domain::account::{Registered, Role},
    store::signing_keys::Stored,
};

/// Tokens signed with the first of these PKCS#8 keys, and checked with all.
fn tokens(newest_first: &[Vec<u8>]) -> Tokens {
    let lifetime = Duration::from_secs(3600);
    let newest = newest_first.len() as i64;
    let stored: Vec<_> = (0..newest)
        .zip(newest_first)
        .map(|(place, private_key)| Stored {
            generation: newest - place,
            private_key: private_key.clone(),
            created_at_us: 0,
            signs_from_us: clock::now_us() - 60_000_000 - place,
            longest_token_us: 3_600_000_000,
        })
        .collect();
    Tokens {
        shared: Arc::new(Shared {
            rules: Rules {
                issuer: "caravan".to_owned(),
                lifetime,
                key_max_age: Duration::from_secs(86_400),
                key_ahead: MIN_AHEAD,
            },
            keys: ArcSwap::from_pointee(Ring::read(&stored).expect("good keys")),
            revocations: Revocations::default(),
        }),
    }
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
    let (now, session) = (clock::now(), Uuid::now_v7());
    let token = tokens.for_account(&ada, session, now).expect("signed");
    assert_eq!(token.expires_in_s, 3600);
    let caller = verifier.verify(&token.text).await.expect("good");
    assert_eq!(
        caller,
        Caller::User {
            id: ada.parts().id,
            roles: vec!["customer".into()]
        }
    );
    let claims = tokens.read(&token.text, now).expect("ours");
    assert_eq!(claims.sid, Some(session));

    let token = tokens.for_service("ordering", now).expect("signed");
    let caller = verifier.verify(&token.text).await.expect("good");
    assert_eq!(
        caller,
        Caller::Service {
            name: "ordering".into()
        }
    );

    let scope = "orders:read stock:write".to_owned();
    let token = tokens.for_client("erp", scope, now).expect("signed");
    let caller = verifier.verify(&token.text).await.expect("good");
    assert_eq!(
        caller,
        Caller::Client {
            id: "erp".into(),
            scopes: vec!["orders:read".into(), "stock:write".into()]
        }
    );
}

#[tokio::test]
async fn a_token_ends_and_others_keys_do_not_count() {
    let tokens = tokens(&[key()]);
    let verifier = Verifier::new("caravan", tokens.clone());
    let now = clock::now();
    let long_ago = now - time::Duration::HOUR * 2;
    let old = tokens.for_service("ordering", long_ago).expect("signed");
    let strange = self::tokens(&[key()])
        .for_service("ordering", now)
        .expect("signed");
    for token in [old, strange] {
        assert!(verifier.verify(&token.text).await.is_err());
        assert!(tokens.read(&token.text, now).is_none());
    }
}

#[tokio::test]
async fn a_clock_that_is_behind_takes_a_new_token() {
    let tokens = tokens(&[key()]);
    let verifier = Verifier::new("caravan", tokens.clone());
    let ahead = clock::now() + time::Duration::seconds(20);
    let token = tokens.for_service("saga", ahead).expect("signed");
    assert!(verifier.verify(&token.text).await.is_ok());
}

#[tokio::test]
async fn the_newest_key_signs_and_older_ones_still_count() {
    let (old, new) = (key(), key());
    let now = clock::now();
    let before = tokens(std::slice::from_ref(&old))
        .for_service("saga", now)
        .expect("signed");
    let after = tokens(&[new.clone(), old]);
    let verifier = Verifier::new("caravan", after.clone());
    assert!(verifier.verify(&before.text).await.is_ok());
    let token = after.for_service("saga", now).expect("signed");
    let kid = jsonwebtoken::decode_header(&token.text).expect("a JWT").kid;
    let newest = SigningKey::read(&new).expect("good");
    assert_eq!(kid.as_deref(), Some(newest.public().kid.as_str()));
    assert_eq!(after.public_keys().len(), 2);
}

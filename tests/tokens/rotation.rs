//! Keys change while people and services work, and nobody notices.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

use kit::{Engine, Setup, World, rest::Rest, wait::within};
use serde_json::{Value, json};

use crate::wire::{everywhere, services};

/// How long until a new key signs, and until the tokens of the old one have ended, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The state of each key, newest first.
async fn states(admin: &Rest) -> Vec<(String, String)> {
    let keys = admin.get("/v1/signing-keys").await.expect(200).json();
    let text = |key: &Value, name: &str| key[name].as_str().expect("a text").to_owned();
    let keys = keys["signingKeys"].as_array().expect("a list").iter();
    keys.map(|key| (text(key, "keyId"), text(key, "state")))
        .collect()
}

async fn log_in(world: &World, email: &str) -> Rest {
    let login = json!({"email": email, "password": kit::shop::PASSWORD});
    let session = world.anonymous().post("/v1/sessions", &login).await;
    let session = session.expect(201).json();
    world
        .anonymous()
        .with_token(session["accessToken"].as_str().expect("a text"))
}

fn key_of(client: &Rest) -> String {
    let header = jsonwebtoken::decode_header(client.token().expect("logged in"));
    header.expect("a JWT").kid.expect("named")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_is_rotated_under_load_without_one_failed_request() {
    let setup = Setup::on(Engine::Sqlite)
        .variable("SIGNING_KEY_PUBLISH_AHEAD", "10s")
        .variable("TOKEN_LIFETIME", "5m");
    let world = World::start_with(setup)
        .await
        .expect("SQLite is always there");
    let ada = world.customer("ada").await;
    let admin = world.admin().await;
    let services = services(&world);
    let old = key_of(&ada.rest);
    let (done, answers, new) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));

    // Old tokens go on, and new ones come, through the gateway and at every service, at every moment of the rotation.
    let load = async || {
        while !done.load(Ordering::SeqCst) {
            let fresh = log_in(&world, &ada.email).await;
            for client in [&ada.rest, &fresh] {
                client.get("/v1/orders").await.expect(200);
                client.get("/v1/accounts/me").await.expect(200);
            }
            for (name, code) in everywhere(&services, admin.token().expect("logged in")).await {
                assert_eq!(code, tonic::Code::Ok, "{name}");
            }
            for (name, code) in everywhere(&services, fresh.token().expect("logged in")).await {
                // A customer is known, and not let in.
                assert_eq!(code, tonic::Code::PermissionDenied, "{name}");
            }
            answers.fetch_add(1, Ordering::SeqCst);
            new.fetch_add(u32::from(key_of(&fresh) != old), Ordering::SeqCst);
        }
    };
    let rotation = async {
        let reason = json!({"reason": "a drill under load"});
        admin
            .post("/v1/signing-keys:rotate", &reason)
            .await
            .expect(200);
        let keys = states(admin).await;
        assert_eq!(keys[0].1, "SIGNING_KEY_STATE_NEXT", "{keys:?}");
        let signs = || async {
            let keys = states(admin).await;
            let signs = keys[0].1 == "SIGNING_KEY_STATE_SIGNING" && keys.len() == 2;
            signs.then_some(keys[0].0.clone()).ok_or(keys)
        };
        let signing = within(PATIENCE, "the new key signs", signs).await;
        assert_ne!(signing, old);
        let enough = || async {
            let new = new.load(Ordering::SeqCst);
            (new >= 5).then_some(()).ok_or(new)
        };
        within(PATIENCE, "tokens are signed with it", enough).await;
        done.store(true, Ordering::SeqCst);
    };
    futures::join!(rotation, load(), load());
    assert!(
        answers.load(Ordering::SeqCst) > new.load(Ordering::SeqCst),
        "before and after"
    );
    // The old key's tokens still count.
    ada.rest.get("/v1/accounts/me").await.expect(200);
    assert_eq!(key_of(&ada.rest), old);
}

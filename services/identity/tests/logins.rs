//! Logins and service tokens: who is let in, who is not, and what the others learn from it.

mod world;

use std::time::{Duration, Instant};

use alone::{Engine, on_both_engines, reason};
use contracts::caravan::identity::v1::{
    self as pb, identity_service_client::IdentityServiceClient,
};
use futures::future::join_all;
use identity::domain::throttle::MAX_FAILURES;
use tonic::Code;

use world::{ADMIN, ORDERING_SECRET, PASSWORD, World, me};

/// People whose passwords are guessed.
const PEOPLE: u32 = 8;

on_both_engines!(
    a_wrong_password_and_an_unknown_address_look_the_same,
    many_logins_at_once_are_fine,
    a_service_gets_its_token_by_its_secret,
    replicas_and_restarts_keep_the_key,
    tokens_end,
);

async fn a_wrong_password_and_an_unknown_address_look_the_same(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    for person in 0..PEOPLE {
        world.register(&format!("ada{person}@example.org")).await;
    }
    let mut fastest = [Duration::MAX; 2];
    // As many rounds as a busy machine needs to show how fast both can be, but nobody is asked so often as to be slowed down.
    for round in 1..=PEOPLE * MAX_FAILURES {
        let person = round % PEOPLE;
        let pair = [
            format!("ada{person}@example.org"),
            format!("nobody{person}@example.org"),
        ];
        for (fastest, email) in fastest.iter_mut().zip(&pair) {
            let start = Instant::now();
            let refusal = world
                .log_in(email, "something else")
                .await
                .expect_err("wrong");
            *fastest = start.elapsed().min(*fastest);
            assert_eq!(
                (refusal.code(), reason(&refusal).as_str()),
                (Code::Unauthenticated, "INVALID_CREDENTIALS")
            );
            assert_eq!(
                refusal.message(),
                "The e-mail address or the password is wrong."
            );
        }
        let [known, unknown] = fastest;
        if round >= 3 && unknown * 2 > known && known * 2 > unknown {
            return;
        }
    }
    panic!("known and unknown differ: {fastest:?}");
}

async fn many_logins_at_once_are_fine(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register("ada@example.org").await;
    for answer in join_all((0..32).map(|_| world.log_in("ada@example.org", PASSWORD))).await {
        answer.expect("right");
    }
}

async fn a_service_gets_its_token_by_its_secret(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    for (name, secret) in [
        ("ordering", "wrong"),
        ("payment", ORDERING_SECRET),
        ("nobody", "nothing"),
    ] {
        let refusal = world
            .service_token(name, secret)
            .await
            .expect_err("not admitted");
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::Unauthenticated, "INVALID_CLIENT")
        );
    }
    let token = world
        .service_token("ordering", ORDERING_SECRET)
        .await
        .expect("admitted");
    // A service is no person.
    let refusal = me(&mut world.with_token(&token))
        .await
        .expect_err("no account");
    assert_eq!(refusal.code(), Code::PermissionDenied);
    assert!(
        !world.service.log().join("\n").contains(ORDERING_SECRET),
        "no secret in the log"
    );
}

async fn replicas_and_restarts_keep_the_key(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let keys = world.keys().await;
    assert_eq!(keys.len(), 1);
    let key = &keys[0];
    assert_eq!(
        (
            key.kty.as_str(),
            key.crv.as_str(),
            key.alg.as_str(),
            key.r#use.as_str()
        ),
        ("EC", "P-256", "ES256", "sig")
    );
    let session = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    if engine == Engine::Postgres {
        // SQLite has one process.
        let theirs = world.service.beside(async |channel| {
            let keys = IdentityServiceClient::new(channel.clone())
                .get_key_set(pb::GetKeySetRequest {})
                .await;
            keys.expect("public").into_inner().keys
        });
        assert_eq!(theirs.await, keys);
    }
    world.service.crash_and_restart().await;
    assert_eq!(world.keys().await, keys);
    let admin = me(&mut world.with_token(&session.access_token))
        .await
        .expect("the token is still good");
    assert_eq!(
        (admin.email.as_str(), admin.roles.as_slice()),
        (
            ADMIN,
            ["customer".to_owned(), "admin".to_owned()].as_slice()
        )
    );
    assert!(world.service.drain().await.success());
}

async fn tokens_end(engine: Engine) {
    let Some(world) =
        World::start_with(engine, |service| service.with("TOKEN_LIFETIME", "1s")).await
    else {
        return;
    };
    let session = world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    assert_eq!(session.expires_in, 1);
    let mut client = world.with_token(&session.access_token);
    me(&mut client).await.expect("still good");
    alone::wait::until("the token has ended", || {
        let mut client = client.clone();
        async move {
            match me(&mut client).await {
                Err(refusal) if reason(&refusal) == "TOKEN_EXPIRED" => Ok(()),
                answer => Err(answer),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_memory_of_hashes_is_given_back() {
    const LITTLE_KIB: u64 = 12 * 1024;
    let Some(world) = World::start(Engine::Sqlite).await else {
        return;
    };
    world.log_in(ADMIN, PASSWORD).await.expect("made at boot");
    let before = world.service.resident_kib();
    for answer in join_all((0..32).map(|_| world.log_in(ADMIN, PASSWORD))).await {
        answer.expect("right");
    }
    alone::wait::until("little more is held than before", || async {
        let now = world.service.resident_kib();
        if now < before + LITTLE_KIB {
            Ok(())
        } else {
            Err((before, now))
        }
    })
    .await;
    assert!(before < 80 * 1024, "{before} KiB after the first");
}

//! Guessing passwords: who does has to wait, whichever replica is asked, and also after a restart.

mod world;

use alone::{Engine, ServiceBuilder, on_both_engines, reason};
use contracts::caravan::identity::v1::{
    self as pb, identity_service_client::IdentityServiceClient,
};
use futures::future::join_all;
use identity::domain::throttle::{FIRST_WAIT, MAX_FAILURES, MAX_FAILURES_OF_ADDRESS};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use world::{ADMIN, PASSWORD, World, a_person};

on_both_engines!(
    guessing_is_slowed_down,
    a_right_password_starts_anew,
    replicas_count_together,
    a_restart_forgets_nothing,
    whoever_tries_many_accounts_is_slowed_down,
    nobody_chooses_an_address_where_proxies_are_not_trusted,
);

async fn guessing_is_slowed_down(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register("ada@example.org").await;
    let guesses =
        join_all((0..MAX_FAILURES + 6).map(|_| world.log_in("ada@example.org", "a guess"))).await;
    let answered = guesses.iter().filter(|guess| {
        guess
            .as_ref()
            .is_err_and(|it| it.code() == Code::Unauthenticated)
    });
    assert_eq!(
        answered.count(),
        MAX_FAILURES as usize,
        "also where they come at the same moment"
    );
    let slowed = world
        .log_in("Ada@example.org", PASSWORD)
        .await
        .expect_err("too many");
    assert_eq!(
        (slowed.code(), reason(&slowed).as_str()),
        (Code::ResourceExhausted, "TOO_MANY_FAILED_LOGINS")
    );
    let wait = slowed
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    assert!(
        wait.is_some_and(|wait| !wait.is_zero() && wait <= FIRST_WAIT.unsigned_abs()),
        "{wait:?}"
    );
    world
        .log_in(ADMIN, PASSWORD)
        .await
        .expect("others are not held up");
}

/// Whether the password was wrong, as opposed to not looked at.
fn is_wrong(login: &Result<pb::Session, Status>) -> bool {
    let refusal = login.as_ref().expect_err("not the password");
    match (refusal.code(), &*reason(refusal)) {
        (Code::Unauthenticated, "INVALID_CREDENTIALS") => true,
        (Code::ResourceExhausted, "TOO_MANY_FAILED_LOGINS") => false,
        _ => panic!("{refusal:?}"),
    }
}

async fn a_right_password_starts_anew(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register("ada@example.org").await;
    for _ in 0..2 {
        for _ in 1..MAX_FAILURES {
            assert!(is_wrong(&world.log_in("ada@example.org", "a guess").await));
        }
        world
            .log_in("ada@example.org", PASSWORD)
            .await
            .expect("in time");
    }
}

/// There may be an account, or none: both are counted alike.
async fn replicas_count_together(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register("ada@example.org").await;
    world
        .service
        .beside(async |replica| {
            for email in ["ada@example.org", "nobody@example.org"] {
                let there = async |password: &str| {
                    let request = pb::CreateSessionRequest {
                        email: email.into(),
                        password: password.into(),
                        client: String::new(),
                    };
                    let mut replica = IdentityServiceClient::new(replica.clone());
                    let answer = replica.create_session(request).await?.into_inner();
                    Ok(answer.session.expect("always there"))
                };
                let here = (0..MAX_FAILURES).map(|_| world.log_in(email, "a guess"));
                let guesses = (0..MAX_FAILURES).map(|_| there("a guess"));
                let (here, guesses) = futures::join!(join_all(here), join_all(guesses));
                let answered = here.iter().chain(&guesses).filter(|login| is_wrong(login));
                assert_eq!(answered.count(), MAX_FAILURES as usize, "{email}");
                assert!(!is_wrong(&there(PASSWORD).await), "{email}");
                assert!(!is_wrong(&world.log_in(email, PASSWORD).await), "{email}");
            }
        })
        .await;
}

async fn a_restart_forgets_nothing(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.register("ada@example.org").await;
    for _ in 1..MAX_FAILURES {
        assert!(is_wrong(&world.log_in("ada@example.org", "a guess").await));
    }
    world.service.crash_and_restart().await;
    assert!(is_wrong(&world.log_in("ada@example.org", "a guess").await));
    let waits = world.log_in("ada@example.org", PASSWORD).await;
    assert!(!is_wrong(&waits));
    world.service.crash_and_restart().await;
    let waits = world.log_in("ada@example.org", PASSWORD).await;
    assert!(!is_wrong(&waits));
}

/// Asks from this address, as a gateway would forward it, for an account that there is: cheaper than a wrong password, and
/// counted alike.
async fn ask_for_a_taken_address(world: &World, from: &str) -> Code {
    let mut request = Request::new(a_person("ada@example.org"));
    let from = from.parse().expect("ASCII");
    request.metadata_mut().insert("x-forwarded-for", from);
    let refusal = world.anybody().register_account(request).await;
    refusal.expect_err("taken").code()
}

async fn whoever_tries_many_accounts_is_slowed_down(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register("ada@example.org").await;
    for _ in 0..MAX_FAILURES_OF_ADDRESS {
        let code = ask_for_a_taken_address(&world, "203.0.113.7").await;
        assert_eq!(code, Code::AlreadyExists);
    }
    let (theirs, others) = ("203.0.113.7", "203.0.113.8");
    let code = ask_for_a_taken_address(&world, theirs).await;
    assert_eq!(code, Code::ResourceExhausted);
    let code = ask_for_a_taken_address(&world, others).await;
    assert_eq!(code, Code::AlreadyExists, "others are not held up");

    // Logins from there wait too, the right ones as well.
    let mut request = Request::new(pb::CreateSessionRequest {
        email: ADMIN.into(),
        password: PASSWORD.into(),
        client: String::new(),
    });
    let from = theirs.parse().expect("ASCII");
    request.metadata_mut().insert("x-forwarded-for", from);
    let refusal = world.anybody().create_session(request).await;
    let refusal = refusal.expect_err("too many");
    assert_eq!(reason(&refusal), "TOO_MANY_FAILED_LOGINS");
    let wait = refusal.get_details_retry_info();
    assert!(wait.and_then(|info| info.retry_delay) <= Some(FIRST_WAIT.unsigned_abs()));
}

async fn nobody_chooses_an_address_where_proxies_are_not_trusted(engine: Engine) {
    let untrusted = |service: ServiceBuilder| service.with("TRUSTED_PROXIES", "-");
    let Some(world) = World::start_with(engine, untrusted).await else {
        return;
    };
    world.register("ada@example.org").await;
    // All come from loopback, where nobody is slowed down, whatever they say.
    for _ in 0..=MAX_FAILURES_OF_ADDRESS {
        let code = ask_for_a_taken_address(&world, "203.0.113.7").await;
        assert_eq!(code, Code::AlreadyExists);
    }
}

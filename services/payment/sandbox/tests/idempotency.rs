//! Idempotency-Key as Stripe's, and what a restart keeps.

mod world;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use world::{World, answer, id, intent};

#[tokio::test]
async fn a_key_gives_its_first_answer_again() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    for method in ["pm_card_visa", "pm_card_chargeDeclined", "pm_nobody"] {
        let request = || {
            world
                .post("/v1/payment_intents", &intent("o-1", method))
                .header("Idempotency-Key", method)
        };
        let first = answer(request()).await;
        let again = request().send().await.expect("an answer");
        assert_eq!(again.headers()["idempotent-replayed"], "true");
        assert_eq!(
            (again.status(), again.json::<Value>().await.expect("JSON")),
            first
        );
    }
    let other = world
        .post("/v1/payment_intents", &intent("o-2", "pm_card_visa"))
        .header("Idempotency-Key", "pm_card_visa");
    let (status, body) = answer(other).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (StatusCode::BAD_REQUEST, &json!("idempotency_error"))
    );
    assert_eq!(world.totals().await["authorizedMinor"], 1500);
    world.stop().await;
}

#[tokio::test]
async fn many_at_once_with_one_key_hold_once() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    let requests = (0..20).map(|_| {
        let request = world
            .post("/v1/payment_intents", &intent("o-1", "pm_card_visa"))
            .header("Idempotency-Key", "same");
        tokio::spawn(answer(request))
    });
    let mut successes = 0;
    for request in requests.collect::<Vec<_>>() {
        let (status, body) = request.await.expect("no panic");
        match status {
            StatusCode::OK => successes += 1,
            StatusCode::CONFLICT => assert_eq!(body["error"]["code"], "idempotency_key_in_use"),
            other => panic!("{other}: {body}"),
        }
    }
    assert!(successes >= 1);
    assert_eq!(world.totals().await["authorizedMinor"], 1500);
    world.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_the_ledger_and_the_keys() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    let request = |world: &World| {
        world
            .post("/v1/payment_intents", &intent("o-1", "pm_card_visa"))
            .header("Idempotency-Key", "k")
    };
    let first = answer(request(&world)).await;
    let before = answer(world.get("/ledger")).await;
    world.stop().await;

    let world = World::start(dir.path()).await;
    assert_eq!(answer(request(&world)).await, first);
    assert_eq!(answer(world.get("/ledger")).await, before);
    let capture = format!("/v1/payment_intents/{}/capture", id(&first.1));
    assert_eq!(answer(world.post(&capture, &[])).await.0, StatusCode::OK);
    world.stop().await;
}

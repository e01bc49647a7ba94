//! The sandbox over its real port: shapes, refusals, the ledger.

mod world;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use world::{KEY, World, answer, id, intent};

async fn authorize(world: &World, order: &str, method: &str) -> (StatusCode, Value) {
    answer(world.post("/v1/payment_intents", &intent(order, method))).await
}

#[tokio::test]
async fn a_hold_is_taken_and_sent_back() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    let (status, held) = authorize(&world, "o-1", "pm_card_visa").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(held["object"], "payment_intent");
    assert_eq!(
        (&held["status"], &held["amount_capturable"]),
        (&json!("requires_capture"), &json!(1500))
    );
    assert_eq!(
        (&held["currency"], &held["metadata"]),
        (&json!("eur"), &json!({"order_id": "o-1"}))
    );

    let early = world.post("/v1/refunds", &[("payment_intent", id(&held))]);
    assert_eq!(answer(early).await.0, StatusCode::BAD_REQUEST);

    let capture = format!("/v1/payment_intents/{}/capture", id(&held));
    let (status, taken) = answer(world.post(&capture, &[])).await;
    assert_eq!(
        (status, &taken["status"], &taken["amount_received"]),
        (StatusCode::OK, &json!("succeeded"), &json!(1500))
    );
    let (status, again) = answer(world.post(&capture, &[])).await;
    assert_eq!(
        (status, &again["error"]["code"]),
        (
            StatusCode::BAD_REQUEST,
            &json!("payment_intent_unexpected_state")
        )
    );
    assert_eq!(again["error"]["payment_intent"]["status"], "succeeded");

    let (status, refund) =
        answer(world.post("/v1/refunds", &[("payment_intent", id(&held))])).await;
    assert_eq!(
        (status, &refund["amount"], &refund["status"]),
        (StatusCode::OK, &json!(1500), &json!("succeeded"))
    );
    let (_, again) = answer(world.post("/v1/refunds", &[("payment_intent", id(&held))])).await;
    assert_eq!(again["error"]["code"], "charge_already_refunded");
    let (_, refunds) =
        answer(world.get(&format!("/v1/refunds?payment_intent={}", id(&held)))).await;
    assert_eq!(refunds["data"], json!([refund]));

    let (_, ledger) = answer(world.get("/ledger?orderId=o-1")).await;
    let kinds: Vec<_> = ledger["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| &entry["kind"])
        .collect();
    assert_eq!(kinds, ["authorize", "capture", "refund"]);
    assert_eq!(
        ledger["totals"],
        json!({"authorizedMinor": 1500, "capturedMinor": 1500, "cancelledMinor": 0, "refundedMinor": 1500, "heldMinor": 0})
    );
    world.stop().await;
}

#[tokio::test]
async fn a_hold_is_given_back_and_a_part_can_be_taken() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    let (_, held) = authorize(&world, "o-1", "pm_card_mastercard").await;
    let cancel = format!("/v1/payment_intents/{}/cancel", id(&held));
    let (status, canceled) =
        answer(world.post(&cancel, &[("cancellation_reason", "abandoned")])).await;
    assert_eq!(
        (status, &canceled["status"]),
        (StatusCode::OK, &json!("canceled"))
    );
    assert_eq!(
        answer(world.post(&cancel, &[])).await.0,
        StatusCode::BAD_REQUEST
    );

    let (_, held) = authorize(&world, "o-2", "pm_card_visa").await;
    let capture = format!("/v1/payment_intents/{}/capture", id(&held));
    let (status, refusal) = answer(world.post(&capture, &[("amount_to_capture", "1501")])).await;
    assert_eq!(
        (status, &refusal["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("amount_too_large"))
    );
    assert_eq!(
        answer(world.post(&capture, &[("amount_to_capture", "1000")]))
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        world.totals().await,
        json!({"authorizedMinor": 3000, "capturedMinor": 1000, "cancelledMinor": 2000, "refundedMinor": 0, "heldMinor": 0})
    );
    world.stop().await;
}

#[tokio::test]
async fn a_declined_card_is_402_with_the_reason() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    for (method, code, decline_code) in [
        (
            "pm_card_chargeDeclined",
            "card_declined",
            json!("generic_decline"),
        ),
        (
            "pm_card_chargeDeclinedInsufficientFunds",
            "card_declined",
            json!("insufficient_funds"),
        ),
        (
            "pm_card_visa_chargeDeclinedLostCard",
            "card_declined",
            json!("lost_card"),
        ),
        (
            "pm_card_chargeDeclinedExpiredCard",
            "expired_card",
            Value::Null,
        ),
    ] {
        let (status, body) = authorize(&world, "o-1", method).await;
        let error = &body["error"];
        assert_eq!(status, StatusCode::PAYMENT_REQUIRED, "{method}");
        assert_eq!(
            (&error["type"], &error["code"], &error["decline_code"]),
            (&json!("card_error"), &json!(code), &decline_code)
        );
        let intent = &error["payment_intent"];
        assert_eq!(intent["status"], "requires_payment_method");
        assert_eq!(intent["last_payment_error"]["code"], code);
    }
    assert_eq!(world.totals().await["authorizedMinor"], 0);
    world.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    let (status, body) = authorize(&world, "o-1", "pm_nobody").await;
    assert_eq!(
        (status, &body["error"]["code"], &body["error"]["param"]),
        (
            StatusCode::BAD_REQUEST,
            &json!("resource_missing"),
            &json!("payment_method")
        )
    );
    let (status, body) = answer(world.post("/v1/payment_intents", &[("amount", "5")])).await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (StatusCode::BAD_REQUEST, &json!("currency"))
    );
    let (status, body) = answer(world.post(
        "/v1/payment_intents",
        &[("amount", "-5"), ("currency", "eur")],
    ))
    .await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (StatusCode::BAD_REQUEST, &json!("amount"))
    );
    let (status, body) = answer(world.get("/v1/payment_intents/pi_none")).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (StatusCode::NOT_FOUND, &json!("resource_missing"))
    );
    assert_eq!(
        answer(world.post("/v1/payment_intents/pi_none/capture", &[]))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        answer(world.get("/v1/nonsense")).await.0,
        StatusCode::NOT_FOUND
    );
    let json = world
        .http
        .post(format!("{}/v1/payment_intents", world.url))
        .bearer_auth(KEY)
        .json(&json!({"amount": 5}));
    assert_eq!(answer(json).await.0, StatusCode::BAD_REQUEST);

    let (_, ledger) = answer(world.get("/ledger")).await;
    assert_eq!(ledger["entries"], json!([]));
    world.stop().await;
}

#[tokio::test]
async fn only_the_key_opens_it() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    let list = || world.http.get(format!("{}/v1/payment_intents", world.url));
    assert_eq!(answer(list()).await.0, StatusCode::UNAUTHORIZED);
    let (status, body) = answer(list().bearer_auth("sk_test_other")).await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (StatusCode::UNAUTHORIZED, &json!("invalid_request_error"))
    );
    assert!(
        !body.to_string().contains("sk_test_"),
        "no key is ever echoed"
    );
    assert_eq!(
        answer(list().basic_auth(KEY, Some("word"))).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        answer(list().basic_auth(KEY, Some(""))).await.0,
        StatusCode::OK
    );
    world.stop().await;
}

#[tokio::test]
async fn lists_go_page_by_page_newest_first() {
    let dir = TempDir::new().expect("a folder");
    let world = World::start(dir.path()).await;
    for order in ["o-1", "o-2", "o-3"] {
        authorize(&world, order, "pm_card_visa").await;
    }
    let (_, first) = answer(world.get("/v1/payment_intents?limit=2")).await;
    assert_eq!(
        (&first["object"], &first["has_more"]),
        (&json!("list"), &json!(true))
    );
    assert_eq!(first["data"][0]["metadata"]["order_id"], "o-3");
    let next = format!(
        "/v1/payment_intents?limit=2&starting_after={}",
        id(&first["data"][1])
    );
    let (_, second) = answer(world.get(&next)).await;
    assert_eq!(
        (
            &second["has_more"],
            &second["data"][0]["metadata"]["order_id"]
        ),
        (&json!(false), &json!("o-1"))
    );
    for wrong in [
        "limit=0",
        "limit=101",
        "starting_after=pi_none",
        "colour=red",
    ] {
        let (status, _) = answer(world.get(&format!("/v1/payment_intents?{wrong}"))).await;
        assert!(status.is_client_error(), "{wrong}: {status}");
    }
    world.stop().await;
}

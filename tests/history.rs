//! An order's past through REST: what happened, who did it, and what the order was.

use kit::{
    World,
    rest::send,
    shop::{Status, an_order},
};
use reqwest::Method;
use serde_json::{Value, json};

kit::stories!(
    a_purchase_is_told_by_the_saga_that_made_it,
    the_read_model_is_made_anew_while_it_answers,
);

async fn a_purchase_is_told_by_the_saga_that_made_it(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 1)).await;
    ada.until(&order, Status::Confirmed).await;

    let path = format!("/v1/orders/{}/history", order.order_id);
    let history = world.admin().await.get(&path).await.expect(200).json();
    let events = history["events"].as_array().expect("events");
    let said = |field: &str| {
        let values = events.iter().map(|event| event[field].clone());
        values.collect::<Vec<_>>()
    };
    assert_eq!(
        said("event"),
        ["ordering.order.placed.v1", "ordering.order.confirmed.v1"]
    );
    assert_eq!(said("version"), ["1", "2"]);
    assert_eq!(events[0]["actor"]["userId"], ada.account_id.as_str());
    let saga = world
        .until_saga(&order.order_id, "SAGA_STATE_COMPLETED")
        .await;
    assert_eq!(events[1]["actor"]["service"], "saga");
    assert_eq!(events[1]["actor"]["sagaId"], saga["sagaId"]);
    let hers = ada.rest.get(&path).await.expect(200).json();
    assert_eq!(hers["events"][1].get("actor"), None, "{hers}");

    let placed_at = events[0]["time"].as_str().expect("a time");
    let path = format!("/v1/orders/{}?asOf=", order.order_id);
    let then = ada.rest.get(&format!("{path}{placed_at}")).await;
    let then: kit::shop::Order = then.expect(200).read();
    assert_eq!(then, order);
    let before = ada.rest.get(&format!("{path}2020-01-01T00:00:00Z")).await;
    before.expect(404).problem();
    ada.rest
        .get(&format!("{path}yesterday"))
        .await
        .expect(400)
        .problem();
}

async fn the_read_model_is_made_anew_while_it_answers(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 1)).await;
    let confirmed = ada.until(&order, Status::Confirmed).await;
    let rebuild = async |rest: &kit::rest::Rest| {
        let request = rest.request(Method::POST, "/v1/orders:rebuild");
        let request = request.header("accept", "application/x-ndjson");
        send(request.json(&json!({}))).await
    };
    rebuild(&ada.rest).await.expect(403).problem();
    let answer = rebuild(world.admin().await).await.expect(200);
    let last = answer.text.lines().last().expect("a report");
    let last: Value = serde_json::from_str(last).expect("JSON");
    let orders: u64 = last["orders"]
        .as_str()
        .and_then(|orders| orders.parse().ok())
        .expect("a number");
    assert!(orders >= 1, "{last}");
    assert_eq!(
        (&last["corrected"], &last["removed"]),
        (&json!("0"), &json!("0"))
    );
    let again = ada.order(&order.order_id).await;
    assert_eq!(again, confirmed);
}

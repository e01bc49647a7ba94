//! The purchase, whole: stock, money, saga and provider agree to the unit when an order is confirmed.

use std::collections::BTreeMap;

use kit::{
    World,
    ledger::Balance,
    shop::{Status, an_order},
};

kit::stories!(
    a_purchase_moves_stock_and_money_exactly,
    many_lines_are_priced_and_taken_together,
    prefer_wait_answers_with_the_outcome,
    lists_show_a_customers_own_orders_newest_first,
);

async fn a_purchase_moves_stock_and_money_exactly(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;

    let answer = ada.send(&an_order().line(&sku, 2)).await.expect(201);
    let placed: kit::shop::Order = answer.read();
    assert_eq!(
        answer.header("location"),
        format!("/v1/orders/{}", placed.order_id)
    );
    assert_eq!(placed.customer_id, ada.account_id);
    let total = placed.total.clone().expect("a total");
    assert_eq!(
        (total.currency_code.as_str(), total.minor_units),
        ("EUR", 2500)
    );

    let confirmed = ada.until(&placed, Status::Confirmed).await;
    assert_eq!(confirmed.rejection, None);
    assert_eq!(confirmed.lines, placed.lines);
    let saga = world
        .until_saga(&placed.order_id, "SAGA_STATE_COMPLETED")
        .await;
    for step in saga["steps"].as_array().expect("steps") {
        assert_eq!(step["state"], "STEP_STATE_DONE", "{saga}");
        let attempts = step["attempts"].as_array().expect("attempts");
        let last = attempts.last().expect("a step that is done was tried");
        assert_eq!(last["code"], "OK", "{saga}");
        assert!(
            last["startTime"].is_string() && last["endTime"].is_string(),
            "{saga}"
        );
    }

    world.until_stock(&sku, 8, 0).await;
    let payments = ada.payments(&placed).await;
    assert_eq!(payments.len(), 1, "{payments:?}");
    assert_eq!(payments[0].status, "PAYMENT_STATUS_CAPTURED");
    assert_eq!(payments[0].amount, total);

    let ledger = world.ledger().await;
    let kept = Balance {
        held: 0,
        kept: 2500,
    };
    assert_eq!(ledger.balances(), BTreeMap::from([(placed.order_id, kept)]));
    let intent = &payments[0].provider_reference;
    assert!(
        ledger
            .entries
            .iter()
            .all(|entry| entry.intent_id == *intent),
        "{ledger:?}"
    );
}

async fn many_lines_are_priced_and_taken_together(world: &World) {
    let coffee = world.product("coffee", 1250, 10).await;
    let tea = world.product("tea", 399, 10).await;
    let ada = world.customer("ada").await;

    let order = ada.place(an_order().line(&coffee, 1).line(&tea, 3)).await;
    assert_eq!(
        order.total.as_ref().expect("a total").minor_units,
        1250 + 3 * 399
    );
    ada.until(&order, Status::Confirmed).await;
    world.until_stock(&coffee, 9, 0).await;
    world.until_stock(&tea, 7, 0).await;
}

async fn prefer_wait_answers_with_the_outcome(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;

    let answer = ada
        .send(&an_order().line(&sku, 1).wait(30))
        .await
        .expect(201);
    let order: kit::shop::Order = answer.read();
    assert_eq!(order.status, Status::Confirmed.name());

    // With the orchestrator stopped there is no outcome: the answer comes when the time is over.
    world.signal("saga", "STOP");
    let order = ada.place(an_order().line(&sku, 1).wait(1)).await;
    world.signal("saga", "CONT");
    assert_eq!(order.status, Status::Pending.name());
    ada.until(&order, Status::Confirmed).await;
}

async fn lists_show_a_customers_own_orders_newest_first(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let bob = world.customer("bob").await;
    let first = ada.place(an_order().line(&sku, 1)).await;
    bob.place(an_order().line(&sku, 1)).await;
    let second = ada.place(an_order().line(&sku, 1)).await;

    let page = ada
        .rest
        .get("/v1/orders?pageSize=1")
        .await
        .expect(200)
        .json();
    assert_eq!(page["orders"].as_array().map(Vec::len), Some(1), "{page}");
    assert_eq!(page["orders"][0]["orderId"], second.order_id);
    let token = page["nextPageToken"].as_str().expect("there is more");
    let rest = ada
        .rest
        .get(&format!("/v1/orders?pageSize=1&pageToken={token}"))
        .await
        .expect(200)
        .json();
    assert_eq!(rest["orders"].as_array().map(Vec::len), Some(1), "{rest}");
    assert_eq!(rest["orders"][0]["orderId"], first.order_id);
    assert_eq!(rest["nextPageToken"].as_str().unwrap_or_default(), "");
}

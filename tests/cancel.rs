//! An order can be taken back while it is pending and after it was confirmed; stock and money return.

use kit::{
    World,
    ledger::Balance,
    shop::{Status, an_order},
    wait::until,
};

kit::stories!(
    a_pending_order_is_taken_back,
    a_confirmed_order_is_taken_back_with_its_money,
    a_rejected_order_cannot_be_taken_back,
);

/// Waits until the provider holds and keeps nothing.
async fn until_no_money(world: &World) {
    until("the provider holds and keeps nothing", || async {
        let balance = world.ledger().await.balance();
        if balance == Balance::default() {
            Ok(())
        } else {
            Err(balance)
        }
    })
    .await;
}

async fn a_pending_order_is_taken_back(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;

    world.signal("saga", "STOP");
    let order = ada.place(an_order().line(&sku, 2)).await;
    ada.cancel(&order).await.expect(200);
    assert_eq!(
        ada.order(&order.order_id).await.status,
        Status::Cancelled.name()
    );
    world.signal("saga", "CONT");

    // The saga comes late: it is refused at the pivot, or earlier, and undoes what it did.
    world
        .until_saga(&order.order_id, "SAGA_STATE_COMPENSATED")
        .await;
    assert_eq!(
        ada.order(&order.order_id).await.status,
        Status::Cancelled.name()
    );
    world.until_stock(&sku, 10, 0).await;
    until_no_money(world).await;
    // Repeating it changes nothing.
    ada.cancel(&order).await.expect(200);
}

async fn a_confirmed_order_is_taken_back_with_its_money(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;

    let order = ada.place(an_order().line(&sku, 2).wait(30)).await;
    assert_eq!(order.status, Status::Confirmed.name());
    // At once: the saga may still be taking the money.
    let answer = ada.cancel(&order).await.expect(200);
    assert_eq!(answer.json()["status"], Status::Cancelled.name());

    world.until_stock(&sku, 10, 0).await;
    until_no_money(world).await;
    let payments = ada.payments(&order).await;
    assert_eq!(payments.len(), 1, "{payments:?}");
    assert_eq!(payments[0].status, "PAYMENT_STATUS_REFUNDED");
    ada.cancel(&order).await.expect(200);
    world.until_stock(&sku, 10, 0).await;
}

async fn a_rejected_order_cannot_be_taken_back(world: &World) {
    let sku = world.product("coffee", 1250, 1).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 2).wait(30)).await;
    assert_eq!(order.status, Status::Rejected.name());
    let answer = ada.cancel(&order).await;
    assert!(
        matches!(answer.status, 400 | 409 | 422),
        "{} {}",
        answer.status,
        answer.text
    );
    answer.problem();
    assert_eq!(
        ada.order(&order.order_id).await.status,
        Status::Rejected.name()
    );
}

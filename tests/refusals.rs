//! What cannot be bought is turned down with a reason that a shop can show, and nothing stays held.

use kit::{
    World,
    ledger::Balance,
    shop::{Customer, DECLINED, Order, Status, an_order},
};
use serde_json::json;

kit::stories!(
    out_of_stock_holds_nothing,
    a_declined_card_releases_the_stock,
    an_unknown_product_is_turned_down,
    an_inactive_account_cannot_buy,
);

/// The order ends turned down for this reason, in words.
async fn turned_down(customer: &Customer, order: &Order, reason: &str) {
    let order = customer.until(order, Status::Rejected).await;
    let rejection = order.rejection.expect("a reason");
    assert_eq!(rejection.reason, reason);
    let message = rejection.message;
    assert!(
        message.len() > 5 && message != reason,
        "{message:?} can be shown"
    );
}

async fn out_of_stock_holds_nothing(world: &World) {
    let plenty = world.product("plenty", 100, 10).await;
    let scarce = world.product("scarce", 100, 1).await;
    let ada = world.customer("ada").await;

    let order = ada
        .place(an_order().line(&plenty, 2).line(&scarce, 2))
        .await;
    turned_down(&ada, &order, "OUT_OF_STOCK").await;

    world
        .until_saga(&order.order_id, "SAGA_STATE_COMPENSATED")
        .await;
    world.until_stock(&plenty, 10, 0).await;
    world.until_stock(&scarce, 1, 0).await;
    assert_eq!(world.ledger().await.balance(), Balance::default());

    // The last unit can still be bought.
    let order = ada.place(an_order().line(&scarce, 1)).await;
    ada.until(&order, Status::Confirmed).await;
    world.until_stock(&scarce, 0, 0).await;
}

async fn a_declined_card_releases_the_stock(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;

    let order = ada.place(an_order().line(&sku, 2).card(DECLINED)).await;
    turned_down(&ada, &order, "CARD_DECLINED").await;

    let saga = world
        .until_saga(&order.order_id, "SAGA_STATE_COMPENSATED")
        .await;
    assert_eq!(saga["failure"]["reason"], "CARD_DECLINED", "{saga}");
    world.until_stock(&sku, 10, 0).await;
    assert_eq!(world.ledger().await.balance(), Balance::default());
    let payments = ada.payments(&order).await;
    assert!(
        payments
            .iter()
            .all(|payment| payment.status == "PAYMENT_STATUS_DECLINED"),
        "{payments:?}"
    );
}

async fn an_unknown_product_is_turned_down(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;

    let order = ada
        .place(an_order().line(&sku, 1).line("no-such-thing", 1))
        .await;
    turned_down(&ada, &order, "UNKNOWN_PRODUCT").await;
    world.until_stock(&sku, 10, 0).await;
    assert_eq!(world.ledger().await.entries, []);
}

async fn an_inactive_account_cannot_buy(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    // The first order shows that ordering knows the account.
    let order = ada.place(an_order().line(&sku, 1)).await;
    ada.until(&order, Status::Confirmed).await;

    let path = format!("/v1/accounts/{}:deactivate", ada.account_id);
    let account = world
        .admin()
        .await
        .post(&path, &json!({}))
        .await
        .expect(200)
        .json();
    assert_eq!(account["state"], "ACCOUNT_STATE_INACTIVE");

    // Half a second later nobody takes the token any more. Ordering's own tests show that it would turn the order down too.
    kit::wait::until("the account's token counts no more", || async {
        let answer = ada.send(&an_order().line(&sku, 1)).await;
        match answer.status {
            201 => Err(answer.text),
            _ => Ok(answer),
        }
    })
    .await
    .expect(401)
    .problem();

    let login = json!({"email": ada.email, "password": kit::shop::PASSWORD});
    let answer = world.anonymous().post("/v1/sessions", &login).await;
    assert!(
        matches!(answer.status, 401 | 403),
        "{} {}",
        answer.status,
        answer.text
    );
    answer.problem();

    let path = format!("/v1/accounts/{}:reactivate", ada.account_id);
    world
        .admin()
        .await
        .post(&path, &json!({}))
        .await
        .expect(200);
    world
        .anonymous()
        .post("/v1/sessions", &login)
        .await
        .expect(201);
}

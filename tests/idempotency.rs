//! An Idempotency-Key makes an order happen once, however often and from wherever it is sent.

use futures::future::join_all;
use kit::{
    World,
    shop::{Order, Status, an_order},
    wait::until,
};

kit::stories!(
    the_same_key_answers_the_same_order,
    the_same_key_with_another_order_is_refused,
    duplicates_at_the_same_time_make_one_order,
    keys_belong_to_their_caller,
);

async fn orders(customer: &kit::shop::Customer) -> usize {
    let page = customer
        .rest
        .get("/v1/orders?pageSize=100")
        .await
        .expect(200);
    page.json()["orders"].as_array().map_or(0, Vec::len)
}

async fn the_same_key_answers_the_same_order(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let draft = an_order().line(&sku, 1).key("cart-1");

    let first: Order = ada.send(&draft).await.expect(201).read();
    ada.until(&first, Status::Confirmed).await;
    let again = ada.send(&draft).await.expect(201);
    assert_eq!(again.read::<Order>().order_id, first.order_id);
    assert_eq!(
        again.header("location"),
        format!("/v1/orders/{}", first.order_id)
    );
    assert_eq!(orders(&ada).await, 1);
    world.until_stock(&sku, 9, 0).await;

    // Without a key each order counts.
    let one = ada.place(an_order().line(&sku, 1).without_key()).await;
    let other = ada.place(an_order().line(&sku, 1).without_key()).await;
    assert_ne!(one.order_id, other.order_id);
    world.until_stock(&sku, 7, 0).await;
}

async fn the_same_key_with_another_order_is_refused(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    ada.place(an_order().line(&sku, 1).key("cart-1")).await;
    let answer = ada.send(&an_order().line(&sku, 2).key("cart-1")).await;
    assert!(
        matches!(answer.status, 400 | 409 | 422),
        "{} {}",
        answer.status,
        answer.text
    );
    answer.problem();
    assert_eq!(orders(&ada).await, 1);
}

async fn duplicates_at_the_same_time_make_one_order(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let draft = an_order().line(&sku, 1).key("cart-1");

    let answers = join_all((0..8).map(|_| ada.send(&draft))).await;
    let mut placed = Vec::new();
    for answer in answers {
        // A duplicate waits for the first or is told to come again (ABORTED).
        match answer.status {
            201 => placed.push(answer.read::<Order>().order_id),
            409 => drop(answer.problem()),
            status => panic!("{status} {}", answer.text),
        }
    }
    placed.dedup();
    assert_eq!(placed.len(), 1, "{placed:?}");
    assert_eq!(orders(&ada).await, 1);
    until("the one order took its unit", || async {
        let stock = world.stock(&sku).await;
        if stock.on_hand == 9 {
            Ok(())
        } else {
            Err(stock)
        }
    })
    .await;
}

async fn keys_belong_to_their_caller(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let bob = world.customer("bob").await;
    let hers = ada.place(an_order().line(&sku, 1).key("cart-1")).await;
    let his = bob.place(an_order().line(&sku, 1).key("cart-1")).await;
    assert_ne!(hers.order_id, his.order_id);
    assert_eq!(his.customer_id, bob.account_id);
}

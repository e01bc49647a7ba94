//! What becomes of holds: reserved, released, committed, returned, and each at most once.

mod world;

use alone::{Engine, on_both_engines, reason};
use contracts::caravan::inventory::v1 as pb;
use tonic::Code;
use uuid::Uuid;

use world::{World, line};

on_both_engines!(
    an_order_is_held_and_leaves_the_house,
    a_short_line_holds_nothing_and_is_named,
    a_released_hold_is_over,
    repeating_a_call_changes_nothing,
    committed_units_come_back_once,
    the_world_hears_of_it,
    a_hold_survives_a_crash,
);

async fn an_order_is_held_and_leaves_the_house(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    world.stock("cup", 5).await;
    let order = Uuid::now_v7();
    world
        .reserve(order, &[("mug", 1), ("cup", 2), ("mug", 2)])
        .await
        .expect("enough");
    assert_eq!(
        world.counts("mug").await,
        (5, 3, 2),
        "lines of the same sku are added up"
    );
    assert_eq!(world.counts("cup").await, (5, 2, 3));
    world.commit(order).await.expect("held");
    assert_eq!(world.counts("mug").await, (2, 0, 2));
    assert_eq!(world.counts("cup").await, (3, 0, 3));
}

async fn a_short_line_holds_nothing_and_is_named(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    world.stock("cup", 1).await;
    let short = world
        .reserve(Uuid::now_v7(), &[("mug", 1), ("cup", 2)])
        .await
        .expect_err("one cup");
    assert_eq!(
        (short.code(), reason(&short).as_str()),
        (Code::FailedPrecondition, "OUT_OF_STOCK")
    );
    assert_eq!(short.message(), "Only 1 unit of 'cup' is left.");
    assert_eq!(world.counts("mug").await, (5, 0, 5));
    let sum = world
        .reserve(Uuid::now_v7(), &[("mug", 3), ("mug", 3)])
        .await
        .expect_err("five mugs");
    assert_eq!(reason(&sum), "OUT_OF_STOCK");
    let unknown = world
        .reserve(Uuid::now_v7(), &[("mug", 1), ("no-such", 1)])
        .await
        .expect_err("unknown");
    assert_eq!(
        (reason(&unknown).as_str(), unknown.message()),
        ("OUT_OF_STOCK", "'no-such' is out of stock.")
    );
}

async fn a_released_hold_is_over(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    let order = Uuid::now_v7();
    world
        .release(order)
        .await
        .expect("an order without a hold is no error");
    world.reserve(order, &[("mug", 2)]).await.expect("enough");
    world.release(order).await.expect("held");
    assert_eq!(world.counts("mug").await, (5, 0, 5));
    let commit = world.commit(order).await.expect_err("over");
    assert_eq!(
        (commit.code(), reason(&commit).as_str()),
        (Code::FailedPrecondition, "RESERVATION_ENDED")
    );
    let unknown = world.commit(Uuid::now_v7()).await.expect_err("never held");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "RESERVATION_NOT_FOUND")
    );
}

async fn repeating_a_call_changes_nothing(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    let order = Uuid::now_v7();
    let first = world.reserve(order, &[("mug", 2)]).await.expect("enough");
    assert_eq!(
        world
            .reserve(order, &[("mug", 1), ("mug", 1)])
            .await
            .expect("the same"),
        first
    );
    let other = world
        .reserve(order, &[("mug", 3)])
        .await
        .expect_err("other lines");
    assert_eq!(reason(&other), "RESERVATION_DIFFERS");
    assert_eq!(world.counts("mug").await, (5, 2, 3));
    world.commit(order).await.expect("held");
    world.commit(order).await.expect("done");
    assert_eq!(world.counts("mug").await, (3, 0, 3));
    let late = world.release(order).await.expect_err("gone");
    assert_eq!(reason(&late), "RESERVATION_COMMITTED");
}

async fn committed_units_come_back_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    let order = Uuid::now_v7();
    world.reserve(order, &[("mug", 2)]).await.expect("enough");
    let held = world
        .give_back(order)
        .await
        .expect_err("still in the house");
    assert_eq!(
        (held.code(), reason(&held).as_str()),
        (Code::Unavailable, "RESERVATION_NOT_COMMITTED"),
        "the commit may still come"
    );
    world.commit(order).await.expect("held");
    world.give_back(order).await.expect("gone");
    world.give_back(order).await.expect("back");
    assert_eq!(world.counts("mug").await, (5, 0, 5));
}

async fn the_world_hears_of_it(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 3).await;
    let (bought, left) = (Uuid::now_v7(), Uuid::now_v7());
    world.reserve(bought, &[("mug", 2)]).await.expect("enough");
    world
        .reserve(left, &[("mug", 1)])
        .await
        .expect("the last one");
    world.release(left).await.expect("held");
    world.commit(bought).await.expect("held");

    let service = &world.service;
    service
        .publishes(vec![pb::StockAdjusted {
            sku: "mug".into(),
            on_hand: 3,
        }])
        .await;
    service
        .publishes(vec![pb::StockDepleted { sku: "mug".into() }])
        .await;
    let reserved = |order: Uuid, quantity| pb::StockReserved {
        order_id: order.to_string(),
        lines: vec![line("mug", quantity)],
    };
    service
        .publishes(vec![reserved(bought, 2), reserved(left, 1)])
        .await;
    let released = pb::StockReleased {
        order_id: left.to_string(),
        lines: vec![line("mug", 1)],
        expired: false,
    };
    service.publishes(vec![released]).await;
    let committed = pb::StockCommitted {
        order_id: bought.to_string(),
        lines: vec![line("mug", 2)],
    };
    service.publishes(vec![committed]).await;
}

async fn a_hold_survives_a_crash(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 3).await;
    let order = Uuid::now_v7();
    world.reserve(order, &[("mug", 2)]).await.expect("enough");
    world.crash().await;
    assert_eq!(world.counts("mug").await, (3, 2, 1));
    world.commit(order).await.expect("held");
    assert!(world.service.drain().await.success());
}

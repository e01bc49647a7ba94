//! Many buyers of the same few units at the same moment: never one too many, never one too few.

mod world;

use alone::{Engine, on_both_engines, reason};
use contracts::caravan::inventory::v1 as pb;
use futures::future::join_all;
use uuid::Uuid;

use world::World;

/// Buyers who come at the same moment.
const BUYERS: usize = 128;

on_both_engines!(
    the_last_units_are_sold_once,
    orders_of_the_same_products_do_not_block_each_other,
    one_order_asked_for_many_times_at_once_is_held_once,
);

async fn the_last_units_are_sold_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 100).await;
    let buy = || async {
        let order = Uuid::now_v7();
        world.reserve(order, &[("mug", 1)]).await.map(|_| order)
    };
    let (held, refused): (Vec<_>, Vec<_>) = join_all((0..BUYERS).map(|_| buy()))
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!((held.len(), refused.len()), (100, BUYERS - 100));
    for refusal in refused {
        assert_eq!(reason(&refusal.expect_err("refused")), "OUT_OF_STOCK");
    }
    assert_eq!(world.counts("mug").await, (100, 100, 0));
    assert_eq!(
        world.service.published::<pb::StockDepleted>(1).await.len(),
        1,
        "told once"
    );

    // Half of them pay, the others leave.
    let ends = held.into_iter().enumerate().map(|(number, order)| {
        let (world, order) = (&world, order.expect("held"));
        async move {
            if number % 2 == 0 {
                world.commit(order).await
            } else {
                world.release(order).await
            }
        }
    });
    assert!(join_all(ends).await.iter().all(Result::is_ok));
    assert_eq!(world.counts("mug").await, (50, 0, 50));
}

async fn orders_of_the_same_products_do_not_block_each_other(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    for sku in ["a", "b", "c"] {
        world.stock(sku, 1000).await;
    }
    let orders = (0..BUYERS).map(|number| {
        let mut lines = [("a", 1), ("b", 1), ("c", 1)];
        lines.rotate_left(number % 3);
        let world = &world;
        async move {
            let order = Uuid::now_v7();
            world.reserve(order, &lines).await?;
            world.commit(order).await
        }
    });
    for outcome in join_all(orders).await {
        outcome.expect("neither short nor blocked");
    }
    for sku in ["a", "b", "c"] {
        assert_eq!(
            world.counts(sku).await,
            (1000 - BUYERS as i64, 0, 1000 - BUYERS as i64)
        );
    }
}

async fn one_order_asked_for_many_times_at_once_is_held_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 100).await;
    let order = Uuid::now_v7();
    let answers = join_all((0..16).map(|_| world.reserve(order, &[("mug", 3)]))).await;
    let mut ids: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.expect("held"))
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.counts("mug").await, (100, 3, 97));
}

//! Holds end by themselves, and an order that is paid by then still gets its units.

mod world;

use alone::{Engine, on_both_engines, reason, wait::until};
use contracts::caravan::inventory::v1 as pb;
use tonic::Code;
use uuid::Uuid;

use world::{World, line};

on_both_engines!(
    an_overdue_hold_is_released_and_told,
    a_paid_order_gets_its_units_though_its_hold_is_over,
    a_hold_that_is_over_and_sold_is_refused,
);

/// A world in which a hold of two of three mugs is over.
async fn expired(engine: Engine) -> Option<(World, Uuid)> {
    let world = World::start_with(engine, "100ms").await?;
    world.stock("mug", 3).await;
    let order = Uuid::now_v7();
    world.reserve(order, &[("mug", 2)]).await.expect("enough");
    until("the hold is over", || async {
        let counts = world.counts("mug").await;
        if counts == (3, 0, 3) {
            Ok(())
        } else {
            Err(counts)
        }
    })
    .await;
    Some((world, order))
}

async fn an_overdue_hold_is_released_and_told(engine: Engine) {
    let Some((world, order)) = expired(engine).await else {
        return;
    };
    let released = pb::StockReleased {
        order_id: order.to_string(),
        lines: vec![line("mug", 2)],
        expired: true,
    };
    world.service.publishes(vec![released]).await;
    world.release(order).await.expect("over already");
    let again = world
        .reserve(order, &[("mug", 2)])
        .await
        .expect_err("its time was over");
    assert_eq!(reason(&again), "RESERVATION_ENDED");
}

async fn a_paid_order_gets_its_units_though_its_hold_is_over(engine: Engine) {
    let Some((world, order)) = expired(engine).await else {
        return;
    };
    world.commit(order).await.expect("the units are there");
    world.commit(order).await.expect("done");
    assert_eq!(world.counts("mug").await, (1, 0, 1));
    assert_eq!(
        world.service.published::<pb::StockCommitted>(1).await.len(),
        1
    );
}

async fn a_hold_that_is_over_and_sold_is_refused(engine: Engine) {
    let Some((world, order)) = expired(engine).await else {
        return;
    };
    world.stock("mug", 1).await;
    let gone = world.commit(order).await.expect_err("one mug is left");
    assert_eq!(
        (gone.code(), reason(&gone).as_str()),
        (Code::FailedPrecondition, "RESERVATION_EXPIRED")
    );
    assert_eq!(world.counts("mug").await, (1, 0, 1));
    world.stock("mug", 2).await;
    world
        .commit(order)
        .await
        .expect("an operator has found some");
}

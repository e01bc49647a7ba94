//! Calls of a saga: at most once, compensations before actions, orchestrators whose time is over.

mod world;

use alone::{Engine, SagaCall, on_both_engines, reason};
use contracts::caravan::inventory::v1 as pb;
use tonic::Code;
use uuid::Uuid;

use world::{World, commit, release, reserve};

on_both_engines!(
    a_repeated_step_answers_the_first_reply,
    a_compensation_without_its_action_changes_nothing_and_keeps_the_action_away,
    an_old_orchestrator_is_refused,
);

async fn a_repeated_step_answers_the_first_reply(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    let (order, step, mut peer) = (Uuid::now_v7(), SagaCall::new("reserve"), world.peer.clone());
    let message = || reserve(order, &[("mug", 2)]);
    let first = peer
        .reserve_stock(step.action(message()))
        .await
        .expect("enough")
        .into_inner();
    peer.release_stock(step.compensation(release(order)))
        .await
        .expect("undone");
    peer.release_stock(step.compensation(release(order)))
        .await
        .expect("undone before");
    assert_eq!(world.counts("mug").await, (5, 0, 5));
    let again = peer
        .reserve_stock(step.action(message()))
        .await
        .expect("stored")
        .into_inner();
    assert_eq!(
        again, first,
        "the reply is stored, the effect is not made again"
    );
    assert_eq!(world.counts("mug").await, (5, 0, 5));
    assert_eq!(
        world.service.published::<pb::StockReserved>(1).await.len(),
        1
    );
}

async fn a_compensation_without_its_action_changes_nothing_and_keeps_the_action_away(
    engine: Engine,
) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    let (order, step, mut peer) = (Uuid::now_v7(), SagaCall::new("reserve"), world.peer.clone());
    peer.release_stock(step.compensation(release(order)))
        .await
        .expect("nothing to undo");
    let late = peer
        .reserve_stock(step.action(reserve(order, &[("mug", 2)])))
        .await
        .expect_err("too late");
    assert_eq!(
        (late.code(), reason(&late).as_str()),
        (Code::FailedPrecondition, "SAGA_STEP_COMPENSATED")
    );
    assert_eq!(world.counts("mug").await, (5, 0, 5));
}

async fn an_old_orchestrator_is_refused(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    let (order, old, mut peer) = (Uuid::now_v7(), SagaCall::new("commit"), world.peer.clone());
    let new = SagaCall {
        epoch: 2,
        ..old.clone()
    };
    let held = SagaCall {
        step: "reserve",
        ..new.clone()
    };
    peer.reserve_stock(held.action(reserve(order, &[("mug", 2)])))
        .await
        .expect("enough");
    let stale = peer
        .commit_stock(old.action(commit(order)))
        .await
        .expect_err("a newer one has taken over");
    assert_eq!(reason(&stale), "SAGA_EPOCH_STALE");
    assert_eq!(world.counts("mug").await, (5, 2, 3));
    peer.commit_stock(new.action(commit(order)))
        .await
        .expect("held");
    assert_eq!(world.counts("mug").await, (3, 0, 3));
}

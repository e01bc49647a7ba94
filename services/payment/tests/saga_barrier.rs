//! Calls of a saga: compensations before actions, and orchestrators whose time is over.

mod world;

use alone::{Engine, SagaCall, on_both_engines, reason};
use contracts::caravan::payment::v1::PaymentStatus;
use tonic::Code;

use world::{Order, PRICE_MINOR, VISA, World, provider::Totals, step, wire::Mode};

on_both_engines!(
    a_void_without_a_payment_changes_nothing_and_keeps_the_authorization_away,
    an_old_orchestrator_cannot_hold,
    an_old_orchestrator_cannot_give_back,
    an_old_orchestrator_cannot_send_back,
);

async fn a_void_without_a_payment_changes_nothing_and_keeps_the_authorization_away(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, call) = (Order::by(VISA), SagaCall::new("authorize"));
    world.void(&call, &order).await.expect("nothing to undo");
    world.void(&call, &order).await.expect("nothing to undo");
    let late = world.authorize(&call, &order).await.expect_err("too late");
    assert_eq!(
        (late.code(), reason(&late).as_str()),
        (Code::FailedPrecondition, "SAGA_STEP_COMPENSATED")
    );
    assert_eq!(world.payment(&order).await, None);
    assert_eq!(world.wire.requests(), 0, "the provider was never asked");
}

async fn an_old_orchestrator_cannot_hold(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let old = SagaCall::new("authorize");
    let new = SagaCall {
        epoch: 2,
        ..old.clone()
    };
    // The new one has made itself known by another order's step of the same saga.
    world
        .authorize(&step("other", &new), &Order::by(VISA))
        .await
        .expect("the card pays");
    let (order, asked) = (Order::by(VISA), world.wire.requests());
    let stale = world
        .authorize(&old, &order)
        .await
        .expect_err("a newer one has taken over");
    assert_eq!(reason(&stale), "SAGA_EPOCH_STALE");
    assert_eq!(world.wire.requests(), asked, "the provider was not asked");
}

async fn an_old_orchestrator_cannot_give_back(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, old) = (Order::by(VISA), SagaCall::new("authorize"));
    let new = SagaCall {
        epoch: 2,
        ..old.clone()
    };
    world.authorize(&new, &order).await.expect("the card pays");
    let stale = world
        .void(&old, &order)
        .await
        .expect_err("a newer one has taken over");
    assert_eq!(reason(&stale), "SAGA_EPOCH_STALE");
    assert_eq!(world.status(&order).await, PaymentStatus::Authorized);
    let held = Totals {
        held: PRICE_MINOR,
        holds: 1,
        ..Totals::default()
    };
    assert_eq!(world.provider.books(order.id).await, held);

    // Nor where the provider's answer is not known yet.
    let (order, old) = (Order::by(VISA), SagaCall::new("authorize"));
    let new = SagaCall {
        epoch: 2,
        ..old.clone()
    };
    world.wire.set(Mode::AnswersLost);
    world.authorize(&new, &order).await.expect_err("no answer");
    world.wire.set(Mode::Whole);
    world
        .void(&old, &order)
        .await
        .expect_err("a newer one has taken over");
    world.authorize(&new, &order).await.expect("the card pays");
    assert_eq!(world.provider.books(order.id).await, held);
}

async fn an_old_orchestrator_cannot_send_back(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (order, old) = (Order::by(VISA), SagaCall::new("authorize"));
    let new = SagaCall {
        epoch: 2,
        ..old.clone()
    };
    world.authorize(&new, &order).await.expect("the card pays");
    world
        .capture(&step("capture", &new), &order)
        .await
        .expect("held");
    let stale = world
        .refund(&step("refund", &old), &order)
        .await
        .expect_err("a newer one has taken over");
    assert_eq!(reason(&stale), "SAGA_EPOCH_STALE");
    assert_eq!(world.provider.books(order.id).await.returned, 0);
}

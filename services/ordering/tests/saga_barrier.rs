//! Calls of a saga: at most once, compensations before actions, orchestrators whose time is over.

mod world;

use alone::{Engine, SagaCall, on_both_engines, reason};
use contracts::caravan::ordering::v1::{self as pb, OrderStatus};
use tonic::Code;
use uuid::Uuid;

use world::{Customer, World};

on_both_engines!(
    a_repeated_step_answers_the_first_reply,
    a_compensation_without_its_action_changes_nothing_and_keeps_the_action_away,
    a_late_confirmation_of_an_old_orchestrator_is_refused,
);

fn confirm(order: &pb::Order) -> pb::ConfirmOrderRequest {
    pb::ConfirmOrderRequest {
        order_id: order.order_id.clone(),
    }
}

fn reject(order: &pb::Order) -> pb::RejectOrderRequest {
    pb::RejectOrderRequest {
        order_id: order.order_id.clone(),
        rejection: Some(pb::Rejection {
            reason: "OUT_OF_STOCK".into(),
            message: "No mugs are left.".into(),
        }),
    }
}

/// A world with an order that waits.
async fn world(engine: Engine) -> Option<(World, Customer, pb::Order)> {
    let world = World::start(engine).await?;
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    Some((world, customer, order))
}

async fn status(customer: &Customer, order: &pb::Order) -> OrderStatus {
    let order = customer.order(&order.order_id).await;
    order.expect("known").status()
}

async fn a_repeated_step_answers_the_first_reply(engine: Engine) {
    let Some((world, customer, order)) = world(engine).await else {
        return;
    };
    let (mut peer, step) = (world.peer.clone(), SagaCall::new("confirm"));
    let first = peer.confirm_order(step.action(confirm(&order))).await;
    let first = first.expect("it waits").into_inner();
    let cancel = pb::CancelOrderRequest {
        order_id: order.order_id.clone(),
        ..Default::default()
    };
    let cancelled = customer.client.clone().cancel_order(cancel).await;
    cancelled.expect("may be cancelled");
    // As it was then, whatever became of the order.
    let again = peer.confirm_order(step.action(confirm(&order))).await;
    assert_eq!(again.expect("stored").into_inner(), first);
    assert_eq!(status(&customer, &order).await, OrderStatus::Cancelled);

    let (other, step) = (
        customer.place(&[("cap", 1)]).await.expect("placed"),
        SagaCall::new("order"),
    );
    let first = peer.reject_order(step.action(reject(&other))).await;
    let again = peer.reject_order(step.action(reject(&other))).await;
    assert_eq!(
        first.expect("it waits").into_inner(),
        again.expect("stored").into_inner()
    );
    let told = world.service.published::<pb::OrderRejected>(1).await;
    let told = told.iter().filter(|event| event.order_id == other.order_id);
    assert_eq!(told.count(), 1);
}

async fn a_compensation_without_its_action_changes_nothing_and_keeps_the_action_away(
    engine: Engine,
) {
    let Some((world, customer, order)) = world(engine).await else {
        return;
    };
    let (mut peer, step) = (world.peer.clone(), SagaCall::new("confirm"));
    let undone = peer.reject_order(step.compensation(reject(&order))).await;
    undone.expect("nothing to undo");
    assert_eq!(status(&customer, &order).await, OrderStatus::Pending);
    let late = peer.confirm_order(step.action(confirm(&order))).await;
    let late = late.expect_err("too late");
    assert_eq!(
        (late.code(), reason(&late).as_str()),
        (Code::FailedPrecondition, "SAGA_STEP_COMPENSATED")
    );
    assert_eq!(status(&customer, &order).await, OrderStatus::Pending);
}

/// The pivot of checkout: nothing undoes it, so nothing but the epoch keeps a late one away.
async fn a_late_confirmation_of_an_old_orchestrator_is_refused(engine: Engine) {
    let Some((world, customer, order)) = world(engine).await else {
        return;
    };
    let (mut peer, old) = (world.peer.clone(), SagaCall::new("confirm"));
    let new = SagaCall {
        epoch: 2,
        ..old.clone()
    };
    // The new orchestrator is refused, and turns back.
    let unknown = pb::ConfirmOrderRequest {
        order_id: Uuid::now_v7().to_string(),
    };
    let refused = peer.confirm_order(new.action(unknown)).await;
    assert_eq!(refused.expect_err("unknown").code(), Code::NotFound);
    let late = peer.confirm_order(old.action(confirm(&order))).await;
    let late = late.expect_err("a newer one has taken over");
    assert_eq!(reason(&late), "SAGA_EPOCH_STALE");
    assert_eq!(status(&customer, &order).await, OrderStatus::Pending);
    let confirmed = peer.confirm_order(new.action(confirm(&order))).await;
    confirmed.expect("the newest may");
    assert_eq!(status(&customer, &order).await, OrderStatus::Confirmed);
}

//! Orders over the service's own port: who places, sees, changes and ends them.

mod world;

use alone::{Engine, SagaCall, on_both_engines, reason, violated_fields};
use contracts::caravan::{
    identity::v1::{AccountClosed, AccountState, AccountUpdated},
    ordering::v1::{self as pb, OrderStatus},
};
use tonic::{Code, Request};
use uuid::Uuid;

use world::{World, basket};

on_both_engines!(
    an_order_has_the_catalogues_price_and_waits,
    an_idempotency_key_answers_the_same_order,
    what_cannot_be_is_rejected_at_once,
    a_saga_confirms_once_and_only_services_may,
    a_saga_rejects_with_its_reason,
    an_inactive_account_keeps_the_order_from_being_confirmed,
    a_cancelled_order_is_confirmed_by_nobody,
    another_customers_order_is_as_unknown_as_none,
    a_watch_shows_each_change_and_ends_with_the_order,
    a_crash_loses_no_order,
    who_waits_is_answered_when_the_service_goes,
    who_waits_is_answered_before_the_deadline,
    orders_of_a_closed_account_have_no_name,
);

async fn an_order_has_the_catalogues_price_and_waits(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer
        .place(&[("mug", 2), ("cap", 1)])
        .await
        .expect("placed");
    assert_eq!(order.status(), OrderStatus::Pending);
    assert_eq!(
        order.total.as_ref().map(|total| total.minor_units),
        Some(3499)
    );
    assert_eq!(order.customer_name, "Ada");
    assert_eq!(customer.order(&order.order_id).await.expect("known"), order);
    let placed = world.service.published::<pb::OrderPlaced>(1).await;
    assert_eq!(placed[0].order_id, order.order_id);
    assert_eq!(placed[0].payment_method, "pm_card_visa");

    for (lines, field) in [
        (vec![("mug", 1), ("mug", 2)], "lines[1].sku"),
        (vec![("mug", 0)], "lines[0].quantity"),
        (vec![("mug", -1)], "lines[0].quantity"),
        (vec![("mug", 1001)], "lines[0].quantity"),
        (vec![], "lines"),
    ] {
        let refusal = customer.place(&lines).await.expect_err("malformed");
        assert_eq!(
            (refusal.code(), violated_fields(&refusal)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
}

async fn an_idempotency_key_answers_the_same_order(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let keyed = |lines: &[(&str, i32)]| {
        let mut request = Request::new(basket(lines));
        request
            .metadata_mut()
            .insert("idempotency-key", "key-1".parse().expect("ASCII"));
        request
    };
    let first = customer
        .place_with(keyed(&[("mug", 1)]))
        .await
        .expect("placed");
    let again = customer
        .place_with(keyed(&[("mug", 1)]))
        .await
        .expect("the same");
    assert_eq!(first, again);
    let other = customer
        .place_with(keyed(&[("mug", 2)]))
        .await
        .expect_err("another basket");
    assert_eq!(reason(&other), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.service.published::<pb::OrderPlaced>(1).await.len(), 1);
}

async fn what_cannot_be_is_rejected_at_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let order = world
        .customer()
        .await
        .place(&[("mug", 1), ("unicorn", 1)])
        .await
        .expect("an order all the same");
    assert_eq!(order.status(), OrderStatus::Rejected);
    assert_eq!(order.rejection.expect("rejected").reason, "UNKNOWN_PRODUCT");
    assert!(
        !world
            .service
            .published::<pb::OrderRejected>(1)
            .await
            .is_empty()
    );
}

async fn a_saga_confirms_once_and_only_services_may(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let confirm = pb::ConfirmOrderRequest {
        order_id: order.order_id.clone(),
    };
    let refusal = customer
        .client
        .clone()
        .confirm_order(confirm.clone())
        .await
        .expect_err("not a service");
    assert_eq!(refusal.code(), Code::PermissionDenied);

    let step = SagaCall::new("confirm_order");
    let first = world
        .peer
        .clone()
        .confirm_order(step.action(confirm.clone()))
        .await
        .expect("pending");
    let again = world
        .peer
        .clone()
        .confirm_order(step.action(confirm))
        .await
        .expect("answered before");
    assert_eq!(first.into_inner(), again.into_inner());
    assert_eq!(
        customer
            .order(&order.order_id)
            .await
            .expect("known")
            .status(),
        OrderStatus::Confirmed
    );
    assert_eq!(
        world.service.published::<pb::OrderConfirmed>(1).await.len(),
        1
    );
}

async fn a_saga_rejects_with_its_reason(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let rejection = pb::Rejection {
        reason: "OUT_OF_STOCK".into(),
        message: "No mugs are left.".into(),
    };
    let reject = pb::RejectOrderRequest {
        order_id: order.order_id.clone(),
        rejection: Some(rejection.clone()),
    };
    // The step has no call of its own, so the orchestrator sends its compensation as an action.
    world
        .peer
        .clone()
        .reject_order(SagaCall::new("order").action(reject))
        .await
        .expect("pending");
    let order = customer.order(&order.order_id).await.expect("known");
    assert_eq!(
        (order.status(), order.rejection),
        (OrderStatus::Rejected, Some(rejection))
    );
}

async fn an_inactive_account_keeps_the_order_from_being_confirmed(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let closed = AccountUpdated {
        account_id: customer.id.to_string(),
        email: "ada@example.com".into(),
        display_name: "Ada".into(),
        state: AccountState::Inactive.into(),
        version: 2,
    };
    world.service.hears(&closed).await;
    alone::wait::until("ordering has heard of it", || async {
        let order = customer
            .place(&[("mug", 1)])
            .await
            .map_err(|status| status.to_string())?;
        match order.rejection {
            Some(rejection) if rejection.reason == "ACCOUNT_INACTIVE" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let confirm = pb::ConfirmOrderRequest {
        order_id: order.order_id,
    };
    let refusal = world
        .peer
        .clone()
        .confirm_order(confirm)
        .await
        .expect_err("inactive");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "ACCOUNT_INACTIVE")
    );
}

async fn a_cancelled_order_is_confirmed_by_nobody(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let cancel = pb::CancelOrderRequest {
        order_id: order.order_id.clone(),
        ..Default::default()
    };
    for _ in 0..2 {
        let cancelled = customer
            .client
            .clone()
            .cancel_order(cancel.clone())
            .await
            .expect("pending, then cancelled");
        assert_eq!(
            cancelled.into_inner().order.expect("there").status(),
            OrderStatus::Cancelled
        );
    }
    let confirm = pb::ConfirmOrderRequest {
        order_id: order.order_id,
    };
    let refusal = world
        .peer
        .clone()
        .confirm_order(confirm)
        .await
        .expect_err("cancelled");
    assert_eq!(reason(&refusal), "ORDER_CANCELLED");
    let events = world.service.published::<pb::OrderCancelled>(1).await;
    assert_eq!(
        events
            .iter()
            .map(|event| event.was_confirmed)
            .collect::<Vec<_>>(),
        [false]
    );
}

async fn another_customers_order_is_as_unknown_as_none(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (ada, bob) = (world.customer().await, world.customer().await);
    let order = ada.place(&[("mug", 1)]).await.expect("placed");
    let unknown = Uuid::now_v7().to_string();
    let (theirs, none) = (bob.order(&order.order_id).await, bob.order(&unknown).await);
    let (theirs, none) = (theirs.expect_err("not his"), none.expect_err("nobody's"));
    assert_eq!(
        (theirs.code(), reason(&theirs)),
        (none.code(), reason(&none))
    );
    assert_eq!(
        theirs.message().replace(&order.order_id, &unknown),
        none.message()
    );
    let request = pb::CancelOrderRequest {
        order_id: order.order_id.clone(),
        ..Default::default()
    };
    assert_eq!(
        bob.client
            .clone()
            .cancel_order(request)
            .await
            .expect_err("not his")
            .code(),
        Code::NotFound
    );
    let list = bob
        .client
        .clone()
        .list_orders(pb::ListOrdersRequest::default())
        .await
        .expect("his own");
    assert!(
        list.into_inner()
            .orders
            .iter()
            .all(|order| order.customer_id == bob.id.to_string())
    );
}

async fn a_watch_shows_each_change_and_ends_with_the_order(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let watch = pb::WatchOrderRequest {
        order_id: order.order_id.clone(),
    };
    let mut changes = customer
        .client
        .clone()
        .watch_order(watch)
        .await
        .expect("his own")
        .into_inner();
    let mut next = async || {
        let change = changes.message().await.expect("no failure")?;
        Some(change.order.expect("always there").status())
    };
    assert_eq!(next().await, Some(OrderStatus::Pending));
    let confirm = pb::ConfirmOrderRequest {
        order_id: order.order_id.clone(),
    };
    world
        .peer
        .clone()
        .confirm_order(confirm)
        .await
        .expect("pending");
    assert_eq!(next().await, Some(OrderStatus::Confirmed));
    let cancel = pb::CancelOrderRequest {
        order_id: order.order_id,
        ..Default::default()
    };
    customer
        .client
        .clone()
        .cancel_order(cancel)
        .await
        .expect("confirmed");
    assert_eq!(next().await, Some(OrderStatus::Cancelled));
    assert_eq!(next().await, None, "it can no longer change");
}

async fn a_crash_loses_no_order(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    world.service.crash_and_restart().await;
    let placed = world.service.published::<pb::OrderPlaced>(1).await;
    assert!(placed.iter().any(|event| event.order_id == order.order_id));
}

/// A basket whose caller waits a minute for the outcome.
fn patient_basket() -> Request<pb::PlaceOrderRequest> {
    let mut request = Request::new(basket(&[("mug", 1)]));
    request
        .metadata_mut()
        .insert("prefer", "wait=60".parse().expect("ASCII"));
    request
}

async fn who_waits_is_answered_when_the_service_goes(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let watch = pb::WatchOrderRequest {
        order_id: order.order_id,
    };
    let mut changes = customer
        .client
        .clone()
        .watch_order(watch)
        .await
        .expect("her own")
        .into_inner();
    assert!(changes.message().await.expect("no failure").is_some());

    let placing = tokio::spawn({
        let customer = customer.clone();
        async move { customer.place_with(patient_basket()).await }
    });
    // Its event says that it is placed, so its caller waits by now.
    world.service.published::<pb::OrderPlaced>(2).await;
    let status = world.service.drain().await;
    assert!(status.success(), "{status}");
    let placed = placing.await.expect("no panic").expect("it is placed");
    assert_eq!(placed.status(), OrderStatus::Pending);
    let end = changes.message().await;
    assert!(matches!(end, Ok(None)), "{end:?}");
}

async fn who_waits_is_answered_before_the_deadline(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let mut request = patient_basket();
    request.set_timeout(std::time::Duration::from_secs(2));
    let placed = customer.place_with(request).await.expect("it is placed");
    assert_eq!(placed.status(), OrderStatus::Pending);
}

async fn orders_of_a_closed_account_have_no_name(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (ada, bob) = (world.customer().await, world.customer().await);
    let hers = ada.place(&[("mug", 1)]).await.expect("placed");
    let his = bob.place(&[("mug", 1)]).await.expect("placed");
    let closed = AccountClosed {
        account_id: ada.id.to_string(),
        version: 2,
    };
    world.service.hears(&closed).await;
    alone::wait::until("ordering has forgotten the name", || async {
        let order = ada.order(&hers.order_id).await.expect("still there");
        match order.customer_name.as_str() {
            "" => Ok(()),
            name => Err(name.to_owned()),
        }
    })
    .await;
    let refused = ada
        .place(&[("mug", 1)])
        .await
        .expect("an order all the same");
    assert_eq!(
        refused.rejection.expect("rejected").reason,
        "ACCOUNT_INACTIVE"
    );
    assert_eq!(bob.order(&his.order_id).await.expect("his own"), his);
}

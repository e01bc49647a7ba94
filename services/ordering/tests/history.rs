//! What became of an order and who did it, over the service's own port.

mod world;

use alone::{Engine, SagaCall, on_both_engines};
use contracts::caravan::ordering::v1::{
    self as pb, OrderStatus, order_history_service_client::OrderHistoryServiceClient,
};
use sea_orm::{ConnectionTrait, Database};
use tonic::{Code, Request, Status};
use uuid::Uuid;

use world::{Customer, World};

on_both_engines!(
    a_history_says_what_happened_and_who_did_it,
    a_customer_sees_her_own_history_without_the_names_of_the_shop,
    an_order_is_answered_as_it_was,
    changes_at_the_same_time_leave_one_history,
    operators_make_the_read_model_anew,
);

async fn events(
    client: alone::Client,
    order: &pb::Order,
    page_token: &str,
) -> Result<pb::ListOrderEventsResponse, Status> {
    let request = pb::ListOrderEventsRequest {
        order_id: order.order_id.clone(),
        page_size: 2,
        page_token: page_token.to_owned(),
    };
    let answer = OrderHistoryServiceClient::new(client)
        .list_order_events(request)
        .await?;
    Ok(answer.into_inner())
}

/// Placed by the customer, confirmed by a saga, cancelled by support. Answers the order, the saga and who cancelled.
async fn order_with_a_past(world: &World, customer: &Customer) -> (pb::Order, Uuid, Uuid) {
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let step = SagaCall::new("confirm_order");
    let confirm = pb::ConfirmOrderRequest {
        order_id: order.order_id.clone(),
    };
    let mut peer = world.peer.clone();
    peer.confirm_order(step.action(confirm))
        .await
        .expect("pending");
    let support = Uuid::now_v7();
    let mut client = pb::ordering_service_client::OrderingServiceClient::new(
        world.service.user(support, &["support"]),
    );
    let cancel = pb::CancelOrderRequest {
        order_id: order.order_id.clone(),
        reason: "The customer called.".into(),
    };
    client.cancel_order(cancel).await.expect("confirmed");
    (order, step.saga, support)
}

async fn a_history_says_what_happened_and_who_did_it(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let (order, saga, support) = order_with_a_past(&world, &customer).await;
    let operator = world.service.user(Uuid::now_v7(), &["operator"]);
    let first = events(operator.clone(), &order, "").await.expect("theirs");
    let rest = events(operator, &order, &first.next_page_token)
        .await
        .expect("theirs");
    assert_eq!(rest.next_page_token, "");
    let all = [first.events, rest.events].concat();
    let told: Vec<_> = all
        .iter()
        .map(|event| {
            let actor = event.actor.clone().expect("recorded");
            (event.version, event.event.as_str(), event.status(), actor)
        })
        .collect();
    let by_user = |id: Uuid| pb::OrderActor {
        user_id: id.to_string(),
        ..Default::default()
    };
    let by_saga = pb::OrderActor {
        service: "saga".into(),
        saga_id: saga.to_string(),
        ..Default::default()
    };
    assert_eq!(
        told,
        [
            (
                1,
                "ordering.order.placed.v1",
                OrderStatus::Pending,
                by_user(customer.id)
            ),
            (
                2,
                "ordering.order.confirmed.v1",
                OrderStatus::Confirmed,
                by_saga
            ),
            (
                3,
                "ordering.order.cancelled.v1",
                OrderStatus::Cancelled,
                by_user(support)
            ),
        ]
    );
    assert_eq!(all[2].reason, "The customer called.");
    assert!(all.iter().all(|event| !event.request_id.is_empty()));
    assert!(
        all.windows(2)
            .all(|pair| pair[0].time.map(|time| (time.seconds, time.nanos))
                <= pair[1].time.map(|time| (time.seconds, time.nanos)))
    );
}

async fn a_customer_sees_her_own_history_without_the_names_of_the_shop(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (ada, bob) = (world.customer().await, world.customer().await);
    let (order, ..) = order_with_a_past(&world, &ada).await;
    let client = |customer: &Customer| world.service.user(customer.id, &["customer"]);
    let first = events(client(&ada), &order, "").await.expect("her own");
    let rest = events(client(&ada), &order, &first.next_page_token)
        .await
        .expect("her own");
    let all = [first.events, rest.events].concat();
    let who: Vec<_> = all.iter().map(|event| event.actor.is_some()).collect();
    assert_eq!(
        who,
        [true, false, false],
        "she placed it; others are not named"
    );
    assert!(all.iter().all(|event| event.request_id.is_empty()));

    let refusal = events(client(&bob), &order, "").await.expect_err("not his");
    assert_eq!(refusal.code(), Code::NotFound);
}

async fn an_order_is_answered_as_it_was(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let (order, ..) = order_with_a_past(&world, &customer).await;
    let operator = world.service.user(Uuid::now_v7(), &["operator"]);
    let first = events(operator, &order, "").await.expect("theirs").events;
    let as_of = async |time: prost_types::Timestamp| {
        let request = pb::GetOrderRequest {
            order_id: order.order_id.clone(),
            as_of: Some(time),
        };
        let answer = customer.client.clone().get_order(request).await?;
        Ok::<_, Status>(answer.into_inner().order.expect("always there"))
    };
    let mut then = first[0].time.expect("always there");
    assert_eq!(as_of(then).await.expect("placed by then"), order);
    let confirmed = as_of(first[1].time.expect("always there")).await;
    assert_eq!(
        confirmed.expect("placed by then").status(),
        OrderStatus::Confirmed
    );
    then.seconds -= 1;
    let refusal = as_of(then).await.expect_err("not placed yet");
    assert_eq!(refusal.code(), Code::NotFound);
    then.seconds += 3_600;
    assert_eq!(
        as_of(then).await.expect("as it is").status(),
        OrderStatus::Cancelled
    );
}

async fn changes_at_the_same_time_leave_one_history(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let order = customer.place(&[("mug", 1)]).await.expect("placed");
    let confirm = async {
        let request = pb::ConfirmOrderRequest {
            order_id: order.order_id.clone(),
        };
        world.peer.clone().confirm_order(request).await
    };
    let cancel = async || {
        let request = pb::CancelOrderRequest {
            order_id: order.order_id.clone(),
            ..Default::default()
        };
        customer.client.clone().cancel_order(request).await
    };
    let (confirmed, first, second) = tokio::join!(confirm, cancel(), cancel());
    for cancelled in [first, second] {
        let order = cancelled.expect("it can always be cancelled").into_inner();
        assert_eq!(order.order.expect("there").status(), OrderStatus::Cancelled);
    }
    // Before the cancellation or not at all.
    let expected = if confirmed.is_ok() { 3 } else { 2 };
    let operator = world.service.user(Uuid::now_v7(), &["operator"]);
    let mut token = String::new();
    let mut versions = Vec::new();
    loop {
        let page = events(operator.clone(), &order, &token)
            .await
            .expect("theirs");
        versions.extend(page.events.iter().map(|event| event.version));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(versions, (1..=expected).collect::<Vec<i64>>());
    assert_eq!(
        world.service.published::<pb::OrderCancelled>(1).await.len(),
        1
    );
}

async fn operators_make_the_read_model_anew(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let customer = world.customer().await;
    let (order, ..) = order_with_a_past(&world, &customer).await;
    let good = customer.order(&order.order_id).await.expect("her own");
    let database = Database::connect(world.service.database().to_string())
        .await
        .expect("reachable");
    database
        .execute_unprepared("UPDATE orders SET status = 'pending'")
        .await
        .expect("executed");
    assert_ne!(
        customer.order(&order.order_id).await.expect("her own"),
        good
    );

    let rebuild = async |client| {
        OrderHistoryServiceClient::new(client)
            .rebuild_orders(Request::new(pb::RebuildOrdersRequest::default()))
            .await
    };
    let refusal = rebuild(world.service.user(customer.id, &["customer"])).await;
    let refusal = refusal.expect_err("no operator");
    assert_eq!(refusal.code(), Code::PermissionDenied);
    let answer = rebuild(world.service.user(Uuid::now_v7(), &["operator"])).await;
    let mut reports = answer.expect("an operator").into_inner();
    let mut last = None;
    while let Some(report) = reports.message().await.expect("goes on") {
        last = Some(report);
    }
    let last = last.expect("at least one");
    assert!(last.orders >= last.corrected && last.corrected >= 1);
    assert_eq!(
        customer.order(&order.order_id).await.expect("her own"),
        good
    );
}

//! Steps that are done for each item of a list, and how little a saga writes.

mod world;

use alone::{Engine, on_both_engines};
use contracts::caravan::saga::v1 as pb;
use tonic::Code;
use uuid::Uuid;

use world::{DEFINITION, Fate, World};

/// Reserves for every order of a list, two at a time, then captures for as many as there were.
const FOR_EACH: &str = "
name: test
steps:
  - name: reserve
    forEach: {items: \"trigger.orders\", maxItems: 5, maxParallel: 2}
    call: caravan.payment.v1.PaymentService/AuthorizePayment
    request: \"{'order_id': item + '/' + string(index)}\"
    compensation:
      call: caravan.payment.v1.PaymentService/VoidPayment
      request: \"{'order_id': has(steps.reserve) ? steps.reserve.payment.order_id : item + '/' + string(index)}\"
  - name: commit
    call: caravan.inventory.v1.InventoryService/CommitStock
    request: \"{'order_id': steps.reserve[size(steps.reserve) - 1].payment.order_id}\"
";

on_both_engines!(
    every_item_is_done_once_also_across_a_crash,
    a_refused_item_undoes_those_that_were_done,
    too_many_items_are_refused_and_none_are_fine,
    a_saga_of_four_steps_alone_commits_five_times,
);

async fn world(engine: Engine, definition: &str) -> Option<World> {
    let world = World::start(engine).await?;
    world.register(definition).await.expect("fine");
    Some(world)
}

async fn start(world: &World, orders: &[String]) -> String {
    let value = |kind| prost_types::Value { kind: Some(kind) };
    let texts = orders
        .iter()
        .map(|order| value(prost_types::value::Kind::StringValue(order.clone())));
    let list = prost_types::ListValue {
        values: texts.collect(),
    };
    let list = value(prost_types::value::Kind::ListValue(list));
    let request = pb::StartSagaRequest {
        definition: "test".into(),
        key: Uuid::now_v7().to_string(),
        input: Some(prost_types::Struct {
            fields: [("orders".to_owned(), list)].into(),
        }),
    };
    let answer = world
        .peer
        .clone()
        .start_saga(request)
        .await
        .expect("started");
    answer.into_inner().saga.expect("there").saga_id
}

fn orders(count: usize) -> Vec<String> {
    (0..count).map(|_| Uuid::now_v7().to_string()).collect()
}

async fn every_item_is_done_once_also_across_a_crash(engine: Engine) {
    let Some(mut world) = world(engine, FOR_EACH).await else {
        return;
    };
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = [Fate::Held(gate.clone()), Fate::Held(gate.clone())];
    world.participant.will("AuthorizePayment", held);
    let orders = orders(4);
    let id = start(&world, &orders).await;
    world.participant.called("AuthorizePayment", 2).await;
    let saga = world.saga(&id).await;
    assert_eq!(saga.steps[0].items.len(), 4, "{saga:?}");
    let running = saga.steps[0].attempts.iter().map(|attempt| attempt.item);
    assert_eq!(
        running.collect::<Vec<_>>(),
        [Some(0), Some(1)],
        "two at a time"
    );
    world.crash().await;
    gate.notify_waiters();
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert!(
        saga.steps[0]
            .items()
            .all(|state| state == pb::StepState::Done)
    );
    for (index, order) in orders.iter().enumerate() {
        let mut wanted = vec!["AuthorizePayment"];
        wanted.extend((index == 3).then_some("CommitStock"));
        let effects = world.participant.effects(&format!("{order}/{index}")).await;
        assert_eq!(effects, wanted, "item {index}");
    }
}

async fn a_refused_item_undoes_those_that_were_done(engine: Engine) {
    let Some(world) = world(engine, FOR_EACH).await else {
        return;
    };
    let orders = orders(3);
    let refused = format!("{}/2", orders[2]);
    world.participant.watch(
        &refused,
        std::sync::Arc::new(|_| {
            Box::pin(async { world::Verdict::Refused(Code::FailedPrecondition) })
        }),
    );
    let id = start(&world, &orders).await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(
        saga.steps[0].items().collect::<Vec<_>>(),
        [
            pb::StepState::Compensated,
            pb::StepState::Compensated,
            pb::StepState::Failed
        ]
    );
    for (index, order) in orders.iter().take(2).enumerate() {
        let effects = world.participant.effects(&format!("{order}/{index}")).await;
        assert_eq!(effects, ["AuthorizePayment", "VoidPayment"]);
    }
    assert!(world.participant.effects(&refused).await.is_empty());
}

async fn too_many_items_are_refused_and_none_are_fine(engine: Engine) {
    let definition = FOR_EACH.replace(
        "steps.reserve[size(steps.reserve) - 1].payment.order_id",
        "saga.key",
    );
    let Some(world) = world(engine, &definition).await else {
        return;
    };
    let many = start(&world, &orders(6)).await;
    let saga = world.until(&many, pb::SagaState::Compensated).await;
    assert_eq!(saga.failure.expect("refused").reason, "TOO_MANY_ITEMS");
    let none = start(&world, &[]).await;
    world.until(&none, pb::SagaState::Completed).await;
}

/// The start and the first intent are one commit, then each outcome and the next intent, at last the outcome and the end.
async fn a_saga_of_four_steps_alone_commits_five_times(engine: Engine) {
    let Some(mut world) = world(engine, DEFINITION).await else {
        return;
    };
    // Nothing is published now: each commit is the saga's.
    world.service.nats().kill();
    let (warm, _) = world.begin().await;
    world.until(&warm, pb::SagaState::Completed).await;
    let before = commits(&world).await;
    let (id, _) = world.begin().await;
    world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(commits(&world).await - before, 5.0);
}

async fn commits(world: &World) -> f64 {
    let text = world
        .service
        .admin_port()
        .get("/metrics")
        .await
        .expect(200)
        .text;
    let line = text
        .lines()
        .find(|line| line.starts_with("caravan_db_commits_total"))
        .expect("counted");
    line.rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

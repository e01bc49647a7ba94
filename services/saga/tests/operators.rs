//! What people and services do to sagas over the port: signals, steps left out and settled by hand, lists and streams.

mod world;

use std::collections::BTreeMap;

use alone::{Engine, on_both_engines, reason};
use contracts::caravan::{
    audit::v1::ActionRecorded,
    saga::v1::{self as pb, resolve_step_request::Outcome},
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};
use uuid::Uuid;

use world::{DEFINITION, World, states, structure};

/// reserve -> approve (waits for a signal) -> commit, whose order is the one that was approved.
const APPROVAL: &str = "
name: test
steps:
  - name: reserve
    call: caravan.inventory.v1.InventoryService/ReserveStock
    request: \"{'order_id': trigger.order_id}\"
    compensation:
      call: caravan.inventory.v1.InventoryService/ReleaseStock
      request: \"{'order_id': trigger.order_id}\"
  - name: approve
    waitFor: {signal: approved, timeout: 3600s}
  - name: commit
    call: caravan.inventory.v1.InventoryService/CommitStock
    request: \"{'order_id': steps.approve.order_id}\"
";

on_both_engines!(
    a_signal_is_the_reply_of_the_step_that_waits_for_it,
    a_signal_that_comes_early_is_kept,
    a_signal_that_does_not_come_turns_the_saga_back,
    a_step_is_left_out,
    a_step_is_settled_with_a_reply_or_a_failure,
    a_compensation_is_left_out,
    lists_tell_where_sagas_stand,
    a_watch_shows_every_change_and_ends_with_the_saga,
);

async fn world(engine: Engine, definition: &str) -> Option<World> {
    let world = World::start(engine).await?;
    world.register(definition).await.expect("fine");
    Some(world)
}

fn signal(saga: &str, id: &str, order: &str) -> pb::SignalSagaRequest {
    pb::SignalSagaRequest {
        saga_id: saga.into(),
        signal: "approved".into(),
        signal_id: id.into(),
        payload: Some(structure(&[("order_id", order)])),
        reason: "looks right".into(),
        ..Default::default()
    }
}

async fn send(world: &World, signal: pb::SignalSagaRequest) -> Result<pb::Saga, Status> {
    let answer = world.peer.clone().signal_saga(signal).await?;
    Ok(answer.into_inner().saga.expect("always there"))
}

async fn skip(world: &World, saga: &str, step: &str) -> Result<pb::Saga, Status> {
    let request = pb::SkipStepRequest {
        saga_id: saga.into(),
        step: step.into(),
        reason: "done by hand".into(),
        item: None,
    };
    let answer = world.admin.clone().skip_step(request).await?;
    Ok(answer.into_inner().saga.expect("always there"))
}

async fn resolve(
    world: &World,
    saga: &str,
    step: &str,
    outcome: Outcome,
) -> Result<pb::Saga, Status> {
    let request = pb::ResolveStepRequest {
        saga_id: saga.into(),
        step: step.into(),
        reason: "the bank says so".into(),
        outcome: Some(outcome),
        item: None,
    };
    let answer = world.admin.clone().resolve_step(request).await?;
    Ok(answer.into_inner().saga.expect("always there"))
}

/// Waits until the saga stands at this step.
async fn until_at(world: &World, id: &str, step: &str) -> pb::Saga {
    alone::wait::until(&format!("{id} stands at {step}"), || async {
        let saga = world.saga(id).await;
        if saga.current_steps == [step] {
            Ok(saga)
        } else {
            Err(saga)
        }
    })
    .await
}

async fn a_signal_is_the_reply_of_the_step_that_waits_for_it(engine: Engine) {
    let Some(mut world) = world(engine, APPROVAL).await else {
        return;
    };
    let (id, _) = world.begin().await;
    let saga = until_at(&world, &id, "approve").await;
    assert_eq!(saga.steps[1].state(), pb::StepState::AwaitingSignal);
    assert_eq!(saga.steps[1].signal, "approved");
    assert!(saga.steps[1].signal_deadline_time.is_some());
    // It waits in its row, whoever dies.
    world.crash().await;
    let approved = Uuid::now_v7().to_string();
    send(&world, signal(&id, "1", &approved))
        .await
        .expect("kept");
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(world.participant.effects(&approved).await, ["CommitStock"]);
    // The same signal again changes nothing; another one with its id is refused.
    let again = send(&world, signal(&id, "1", &approved))
        .await
        .expect("known");
    assert_eq!(again.interventions, saga.interventions);
    let other = send(&world, signal(&id, "1", "else"))
        .await
        .expect_err("differs");
    assert_eq!(other.code(), Code::AlreadyExists);
    let late = send(&world, signal(&id, "2", "else"))
        .await
        .expect_err("over");
    assert_eq!(reason(&late), "SAGA_ENDED");
    let told = &saga.interventions[0];
    assert_eq!(told.kind(), pb::InterventionKind::Signalled);
    assert_eq!(told.actor, "service:ordering");
    assert_eq!(
        (told.signal.as_str(), told.signal_id.as_str()),
        ("approved", "1")
    );
    assert_eq!(told.reason, "looks right");
    let events = world.service.published::<pb::SagaIntervened>(1).await;
    assert_eq!(events[0].intervention.as_ref(), Some(told));
}

async fn a_signal_that_comes_early_is_kept(engine: Engine) {
    let Some(world) = world(engine, APPROVAL).await else {
        return;
    };
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = world::Fate::Held(gate.clone());
    world.participant.will("ReserveStock", [held]);
    let (id, order) = world.begin().await;
    world.participant.called("ReserveStock", 1).await;
    let by_key = pb::SignalSagaRequest {
        saga_id: String::new(),
        definition: "test".into(),
        key: order.clone(),
        ..signal("", "", &order)
    };
    send(&world, by_key).await.expect("kept");
    let unknown = pb::SignalSagaRequest {
        signal: "denied".into(),
        ..signal(&id, "", &order)
    };
    let unknown = send(&world, unknown).await.expect_err("nobody waits");
    assert_eq!(reason(&unknown), "SAGA_SIGNAL_UNKNOWN");
    gate.notify_one();
    world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "CommitStock"]
    );
}

async fn a_signal_that_does_not_come_turns_the_saga_back(engine: Engine) {
    let quick = APPROVAL.replace("3600s", "0.2s");
    let Some(world) = world(engine, &quick).await else {
        return;
    };
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    let failure = saga.failure.expect("it turned back");
    assert_eq!(
        (failure.step.as_str(), failure.reason.as_str()),
        ("approve", "SIGNAL_TIMEOUT")
    );
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "ReleaseStock"]
    );
}

async fn a_step_is_left_out(engine: Engine) {
    let Some(mut world) = world(engine, DEFINITION).await else {
        return;
    };
    world
        .participant
        .break_down("CommitStock", Code::Unimplemented);
    let (id, order) = world.begin().await;
    world.until(&id, pb::SagaState::Parked).await;
    let unknown = skip(&world, &id, "other").await.expect_err("unknown");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "SAGA_STEP_NOT_FOUND")
    );
    let settled = skip(&world, &id, "reserve").await.expect_err("done");
    assert_eq!(reason(&settled), "SAGA_STEP_SETTLED");
    skip(&world, &id, "commit").await.expect("left out");
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(states(&saga)[2], pb::StepState::Skipped);
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "AuthorizePayment", "CapturePayment"]
    );
    let told = &saga.interventions[0];
    assert_eq!(told.kind(), pb::InterventionKind::Skipped);
    assert_eq!(
        (told.step.as_str(), told.operation()),
        ("commit", pb::Operation::Action)
    );
    assert!(told.actor.starts_with("user:"), "{}", told.actor);
    // The log alone tells the same.
    world.crash().await;
    assert_eq!(world.saga(&id).await, saga);
    let over = skip(&world, &id, "capture").await.expect_err("over");
    assert_eq!(reason(&over), "SAGA_ENDED");

    // Operators of the whole mesh see it too; what was refused was not done.
    let recorded = world.service.published::<ActionRecorded>(2).await;
    let told: Vec<_> = recorded
        .iter()
        .map(|record| (&*record.action, &*record.target, &*record.detail))
        .collect();
    assert_eq!(
        told,
        [
            ("SAGA_DEFINITION_REGISTERED", "test", ""),
            ("SAGA_STEP_SKIPPED", &*id, "step=commit reason=done by hand"),
        ]
    );
    assert_eq!(recorded[1].actor, saga.interventions[0].actor);
}

async fn a_step_is_settled_with_a_reply_or_a_failure(engine: Engine) {
    let Some(world) = world(engine, DEFINITION).await else {
        return;
    };
    world
        .participant
        .break_down("AuthorizePayment", Code::Unauthenticated);
    let (id, order) = world.begin().await;
    world.until(&id, pb::SagaState::Parked).await;
    let wrong = structure(&[("paid", "yes")]);
    let wrong = resolve(&world, &id, "authorize", Outcome::Reply(wrong)).await;
    assert_eq!(
        wrong.expect_err("no such field").code(),
        Code::InvalidArgument
    );
    // The next steps read it.
    let payment = prost_types::Value {
        kind: Some(prost_types::value::Kind::StructValue(structure(&[(
            "orderId", &order,
        )]))),
    };
    let reply = prost_types::Struct {
        fields: BTreeMap::from([("payment".to_owned(), payment)]),
    };
    resolve(&world, &id, "authorize", Outcome::Reply(reply))
        .await
        .expect("settled");
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(states(&saga)[1], pb::StepState::Done);
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "CommitStock", "CapturePayment"]
    );

    let (id, order) = world.begin().await;
    world.until(&id, pb::SagaState::Parked).await;
    let failure = pb::ResolvedFailure {
        reason: "CARD_DECLINED".into(),
        message: "the bank says no".into(),
    };
    resolve(&world, &id, "authorize", Outcome::Failure(failure))
        .await
        .expect("settled");
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(
        saga.failure.expect("it turned back").reason,
        "CARD_DECLINED"
    );
    assert_eq!(
        saga.interventions[0]
            .failure
            .as_ref()
            .map(|failure| failure.step.as_str()),
        Some("authorize")
    );
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "ReleaseStock"]
    );
}

async fn a_compensation_is_left_out(engine: Engine) {
    let Some(world) = world(engine, DEFINITION).await else {
        return;
    };
    let refused = world::Fate::Status(Code::FailedPrecondition, "NO");
    world.participant.will("CommitStock", [refused]);
    world.participant.break_down("VoidPayment", Code::NotFound);
    let (id, order) = world.begin().await;
    world.until(&id, pb::SagaState::Parked).await;
    let failure = pb::ResolvedFailure {
        reason: "NO".into(),
        message: String::new(),
    };
    let failed = resolve(&world, &id, "authorize", Outcome::Failure(failure)).await;
    assert_eq!(
        reason(&failed.expect_err("no way back")),
        "SAGA_COMPENSATION_CANNOT_FAIL"
    );
    skip(&world, &id, "authorize").await.expect("left out");
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(
        saga.interventions[0].operation(),
        pb::Operation::Compensation
    );
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "AuthorizePayment", "ReleaseStock"]
    );
}

async fn lists_tell_where_sagas_stand(engine: Engine) {
    let Some(world) = world(engine, APPROVAL).await else {
        return;
    };
    let (waiting, _) = world.begin().await;
    let (done, order) = world.begin().await;
    until_at(&world, &waiting, "approve").await;
    send(&world, signal(&done, "", &order)).await.expect("kept");
    let ended = world.until(&done, pb::SagaState::Completed).await;
    let ids = async |filter| -> Vec<String> {
        let listed = world.list(filter).await;
        listed.sagas.into_iter().map(|saga| saga.saga_id).collect()
    };
    let at = |step: &str| pb::ListSagasRequest {
        step: step.into(),
        ..Default::default()
    };
    assert_eq!(ids(at("approve")).await, [waiting.as_str()]);
    assert_eq!(ids(at("approv_")).await, [""; 0]);
    assert_eq!(ids(at("commit")).await, [""; 0]);
    let by_key = pb::ListSagasRequest {
        key: order,
        ..Default::default()
    };
    assert_eq!(ids(by_key).await, [done.as_str()]);
    let hour = |seconds| pb::ListSagasRequest {
        min_age: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    assert_eq!(ids(hour(3_600)).await, [""; 0]);
    assert_eq!(ids(hour(0)).await, [done.as_str(), waiting.as_str()]);
    let began = ended.create_time;
    let after = pb::ListSagasRequest {
        created_after: began,
        ..Default::default()
    };
    assert_eq!(ids(after).await, [done.as_str()]);
    let before = pb::ListSagasRequest {
        created_before: began,
        page_size: 1,
        ..Default::default()
    };
    assert_eq!(ids(before).await, [waiting.as_str()]);
}

async fn a_watch_shows_every_change_and_ends_with_the_saga(engine: Engine) {
    let Some(world) = world(engine, APPROVAL).await else {
        return;
    };
    let (id, order) = world.begin().await;
    until_at(&world, &id, "approve").await;
    let request = pb::WatchSagaRequest {
        saga_id: id.clone(),
    };
    let mut watch = world
        .peer
        .clone()
        .watch_saga(request)
        .await
        .expect("known")
        .into_inner();
    let first = watch.next().await.expect("as it stands").expect("fine");
    assert_eq!(first.saga.expect("there").state(), pb::SagaState::Running);
    send(&world, signal(&id, "", &order)).await.expect("kept");
    let mut last = pb::Saga::default();
    while let Some(answer) = watch.next().await {
        last = answer.expect("fine").saga.expect("there");
    }
    assert_eq!(last.state(), pb::SagaState::Completed);
    let unknown = pb::WatchSagaRequest {
        saga_id: Uuid::now_v7().to_string(),
    };
    let unknown = world
        .peer
        .clone()
        .watch_saga(unknown)
        .await
        .expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
}

//! Sagas from start to end, with everything that can come between.
//!
//! Where each rule of sagas is tested, in this folder unless another is named:
//!
//! | rule | tests |
//! | --- | --- |
//! | 1 A compensation whose action never arrived succeeds, changes nothing and leaves a mark | `faults::a_call_that_is_never_answered_is_undone_and_never_done_later`, `random::the_engine_does_what_the_model_does`; chassis `unit_of_work::an_empty_compensation_leaves_a_mark_that_refuses_the_action` |
//! | 2 The action that arrives after that mark is refused for good | the same |
//! | 3 A duplicate delivery is answered with the first reply and has no effect | `a_duplicate_delivery_is_answered_with_the_first_reply`, `a_lost_answer_does_nothing_twice`, `crash_points` (phase `Done`); chassis `unit_of_work::a_kept_reply_is_answered_again` |
//! | 4 An unknown outcome is tried again with the same key, and undone when it is given up | `what_was_given_up_is_undone_too`, `a_transient_failure_is_tried_again`, `state_machine::a_step_that_was_given_up_with_an_unknown_outcome_is_undone_too` |
//! | 5 Intents before calls, outcomes before next steps; attempts, waits and deadlines survive | `crash_points`, `faults::{attempts_and_deadlines_survive_a_restart, a_long_wait_survives_a_restart}`, `state_machine::the_outcome_of_a_step_and_the_intent_of_the_next_are_one_change` |
//! | 6 Epochs: claims raise them, writes name them, participants refuse old ones; two replicas are as one | `an_orchestrator_with_an_old_epoch_changes_nothing`, `replicas`, `crash_points::an_orchestrator_that_dies_while_it_claims_is_followed_by_the_next`; chassis `unit_of_work::a_stale_epoch_is_refused` |
//! | 7 Refusals compensate, what may pass is tried again, what needs a repair parks | `faults::{every_status_ends_a_saga_as_its_class_says, what_only_a_repair_helps_parks_at_once}` |
//! | 8 What keeps failing parks and is told; what does not depend on it goes on | `a_parked_saga_waits_for_its_operator`, `faults::a_compensation_that_fails_parks_and_the_others_go_on`, `state_machine::a_compensation_that_fails_parks_while_others_go_on` |
//! | 9 Cancel, deadline and reply are settled once; a late success is recorded and undone | `a_cancelled_saga_records_and_undoes_a_late_success`, `state_machine::{a_late_success_after_aborting_began_is_recorded_and_undone, the_deadline_turns_a_saga_back_but_not_past_its_pivot}`, `random` |
//! | 10 The same key is the same saga; with another input it is refused | `the_same_key_is_the_same_saga`, `crash_points` (StartSaga) |

mod world;

use std::sync::Arc;

use alone::{Engine, SagaCall, on_both_engines, reason, wait::until};
use contracts::caravan::{
    payment::v1::{self as payment, payment_service_client::PaymentServiceClient},
    saga::v1 as pb,
};
use prost::Message as _;
use sea_orm::{ConnectionTrait, Database, Statement};
use tokio::sync::Notify;
use tonic::{Code, transport::Channel};

use world::{DEFINITION, Fate, World, states};

on_both_engines!(
    every_step_is_done_once_and_shown,
    a_refusal_undoes_in_reverse,
    a_transient_failure_is_tried_again,
    a_lost_answer_does_nothing_twice,
    a_duplicate_delivery_is_answered_with_the_first_reply,
    what_was_given_up_is_undone_too,
    an_orchestrator_that_dies_goes_on_after_its_restart,
    a_saga_is_one_trace_also_across_restarts,
    an_orchestrator_with_an_old_epoch_changes_nothing,
    a_parked_saga_waits_for_its_operator,
    a_cancelled_saga_records_and_undoes_a_late_success,
    the_same_key_is_the_same_saga,
);

async fn world(engine: Engine) -> Option<World> {
    let world = World::start(engine).await?;
    world.register(DEFINITION).await.expect("fine");
    Some(world)
}

async fn every_step_is_done_once_and_shown(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "CommitStock",
            "CapturePayment"
        ]
    );
    assert_eq!(states(&saga), [pb::StepState::Done; 4]);
    assert_eq!(
        (saga.key.as_str(), saga.version, saga.epoch),
        (order.as_str(), 1, 1)
    );
    assert_eq!(saga.failure, None);
    for step in &saga.steps {
        let [attempt] = step.attempts.as_slice() else {
            panic!("{step:?}")
        };
        assert_eq!(
            (attempt.operation(), attempt.number, attempt.code.as_str()),
            (pb::Operation::Action, 1, "OK")
        );
        assert!(attempt.start_time.is_some() && attempt.end_time.is_some());
    }
    let started = pb::SagaStarted {
        saga_id: id.clone(),
        definition: "test".into(),
        key: order.clone(),
    };
    world.service.publishes(vec![started]).await;
    world
        .service
        .publishes(vec![pb::SagaCompleted {
            saga_id: id,
            definition: "test".into(),
            key: order,
        }])
        .await;
}

async fn a_refusal_undoes_in_reverse(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    world.participant.will(
        "CommitStock",
        [Fate::Status(Code::FailedPrecondition, "NOT_TODAY")],
    );
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "VoidPayment",
            "ReleaseStock"
        ]
    );
    let failure = saga.failure.clone().expect("why");
    assert_eq!(
        (
            failure.step.as_str(),
            failure.code.as_str(),
            failure.reason.as_str()
        ),
        ("commit", "FAILED_PRECONDITION", "NOT_TODAY")
    );
    assert_eq!(failure.message, "as the test says");
    use pb::StepState::{Compensated, Failed, Waiting};
    assert_eq!(states(&saga), [Compensated, Compensated, Failed, Waiting]);
    let events = world.service.published::<pb::SagaCompensated>(1).await;
    assert_eq!(events[0].failure, saga.failure);
}

async fn a_transient_failure_is_tried_again(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    let unavailable = Fate::Status(Code::Unavailable, "BUSY");
    world
        .participant
        .will("AuthorizePayment", [unavailable.clone(), unavailable]);
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    let codes: Vec<_> = saga.steps[1]
        .attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.code.as_str()))
        .collect();
    assert_eq!(codes, [(1, "UNAVAILABLE"), (2, "UNAVAILABLE"), (3, "OK")]);
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

async fn a_lost_answer_does_nothing_twice(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    for method in [
        "ReserveStock",
        "AuthorizePayment",
        "CommitStock",
        "CapturePayment",
    ] {
        world.participant.will(method, [Fate::Lost]);
    }
    let (id, order) = world.begin().await;
    world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "CommitStock",
            "CapturePayment"
        ]
    );
}

async fn a_duplicate_delivery_is_answered_with_the_first_reply(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    let first = &world.participant.replies(&order)["authorize"];
    let call = SagaCall {
        saga: id.parse().expect("a UUID"),
        step: "authorize",
        epoch: saga.epoch,
    };
    let request = payment::AuthorizePaymentRequest {
        order_id: order.clone(),
        ..Default::default()
    };
    let url = Channel::from_shared(world.participant.url.clone()).expect("a URL");
    let mut client = PaymentServiceClient::new(url.connect_lazy());
    for _ in 0..2 {
        let again = client.authorize_payment(call.action(request.clone())).await;
        let again = again.expect("answered").into_inner().encode_to_vec();
        assert_eq!(again, *first, "byte for byte");
    }
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

async fn what_was_given_up_is_undone_too(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    // Done, but nobody ever learns of it.
    world
        .participant
        .will("AuthorizePayment", [Fate::Lost, Fate::Lost, Fate::Lost]);
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "VoidPayment",
            "ReleaseStock"
        ]
    );
    assert_eq!(saga.failure.expect("why").code, "UNAVAILABLE");
}

async fn an_orchestrator_that_dies_goes_on_after_its_restart(engine: Engine) {
    let Some(mut world) = World::start_with(engine, "1s").await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    world
        .participant
        .will("AuthorizePayment", [Fate::Held(gate.clone())]);
    let (id, order) = world.begin().await;
    world.participant.called("AuthorizePayment", 1).await;
    world.crash().await;
    gate.notify_one();
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert!(saga.epoch > 1, "claimed anew");
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "CommitStock",
            "CapturePayment"
        ]
    );
    assert_eq!(saga.steps[1].attempts.len(), 2);
    assert_eq!(
        saga.steps[1].attempts[0].end_time, None,
        "nobody knows how it ended"
    );
}

async fn a_saga_is_one_trace_also_across_restarts(engine: Engine) {
    let Some(mut world) = World::start_with(engine, "1s").await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    let held = ["ReserveStock", "CommitStock"];
    for method in held {
        world.participant.will(method, [Fate::Held(gate.clone())]);
    }
    let (id, order) = world.begin().await;
    let (_, other) = world.begin().await;
    for method in held {
        world.participant.called(method, 1).await;
        world.crash().await;
    }
    world.until(&id, pb::SagaState::Completed).await;
    let traces = world.participant.traces(&order);
    assert!(traces.len() >= 5 && !traces[0].is_empty(), "{traces:?}");
    assert!(traces.iter().all(|trace| *trace == traces[0]), "{traces:?}");
    assert_ne!(world.participant.traces(&other)[0], traces[0]);
}

async fn an_orchestrator_with_an_old_epoch_changes_nothing(engine: Engine) {
    let Some(world) = World::start_with(engine, "60s").await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    world
        .participant
        .will("AuthorizePayment", [Fate::Held(gate.clone())]);
    let (id, order) = world.begin().await;
    world.participant.called("AuthorizePayment", 1).await;

    // Somebody else claims it while the call is under way.
    let database = Database::connect(world.service.database().to_string())
        .await
        .expect("the same database");
    let change = async |sql: &str| {
        let statement = Statement::from_string(database.get_database_backend(), sql);
        database.execute_raw(statement).await.expect("changed");
    };
    change("UPDATE sagas SET epoch = 7, owner = NULL, due_at_us = 9000000000000000").await;
    let before = world.saga(&id).await;
    gate.notify_one();
    until("the old orchestrator lets go", || async {
        let log = world.service.log();
        log.iter()
            .any(|line| line.contains("lets go of a saga"))
            .then_some(())
            .ok_or("not yet")
    })
    .await;
    assert_eq!(
        world.saga(&id).await,
        before,
        "what came back was not written"
    );
    assert!(
        world.participant.calls("CommitStock").is_empty(),
        "and nothing followed from it"
    );

    change("UPDATE sagas SET due_at_us = 0").await;
    world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "CommitStock",
            "CapturePayment"
        ]
    );
    assert_eq!(world.participant.calls("CommitStock"), [8]);
}

async fn a_parked_saga_waits_for_its_operator(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    world
        .participant
        .break_down("CapturePayment", Code::Internal);
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Parked).await;
    assert_eq!(saga.steps[3].state(), pb::StepState::Parked);
    assert_eq!(saga.steps[3].attempts.len(), 3);
    let parked = world.service.published::<pb::SagaParked>(1).await;
    assert_eq!(
        parked[0]
            .failure
            .as_ref()
            .map(|failure| failure.step.as_str()),
        Some("capture")
    );

    let filter = pb::ListSagasRequest {
        state: pb::SagaState::Parked.into(),
        ..Default::default()
    };
    let listed = world.list(filter).await.sagas;
    assert_eq!(
        listed
            .iter()
            .map(|saga| saga.saga_id.as_str())
            .collect::<Vec<_>>(),
        [id.as_str()]
    );
    assert_eq!(
        reason(&world.cancel(&id).await.expect_err("past its pivot")),
        "SAGA_PAST_PIVOT"
    );

    world.participant.heal("CapturePayment");
    world.retry(&id).await.expect("parked");
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(
        saga.steps[3].attempts.last().map(|attempt| attempt.number),
        Some(4)
    );
    assert_eq!(saga.failure, None);
    assert_eq!(
        reason(&world.retry(&id).await.expect_err("over")),
        "SAGA_NOT_PARKED"
    );
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

async fn a_cancelled_saga_records_and_undoes_a_late_success(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    let gate = Arc::new(Notify::new());
    world
        .participant
        .will("AuthorizePayment", [Fate::Held(gate.clone())]);
    let (id, order) = world.begin().await;
    world.participant.called("AuthorizePayment", 1).await;
    let saga = world.cancel(&id).await.expect("before its pivot");
    assert_eq!(saga.state(), pb::SagaState::Compensating);
    world.cancel(&id).await.expect("again is fine");
    gate.notify_one();
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "VoidPayment",
            "ReleaseStock"
        ]
    );
    assert_eq!(saga.steps[1].attempts[0].code, "OK", "recorded");
    let failure = saga.failure.expect("why");
    assert_eq!(
        (failure.reason.as_str(), failure.message.as_str()),
        ("SAGA_CANCELLED", "no longer wanted")
    );
}

async fn the_same_key_is_the_same_saga(engine: Engine) {
    let Some(world) = world(engine).await else {
        return;
    };
    let first = world.begin_for("key", "order").await.expect("started");
    let again = world.begin_for("key", "order").await.expect("the same");
    assert_eq!(first.saga_id, again.saga_id);
    let other = world
        .begin_for("key", "another")
        .await
        .expect_err("another input");
    assert_eq!(
        (other.code(), reason(&other).as_str()),
        (Code::AlreadyExists, "SAGA_INPUT_DIFFERS")
    );
    world.until(&first.saga_id, pb::SagaState::Completed).await;
    assert_eq!(world.participant.effects("order").await.len(), 4);
    assert!(world.participant.effects("another").await.is_empty());
}

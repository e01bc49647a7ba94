//! Participants that answer late, never, too much or nonsense, and more sagas than there are places.

mod world;

use std::sync::Arc;

use alone::{Engine, on_both_engines, wait::until};
use contracts::caravan::saga::v1 as pb;
use tokio::sync::Notify;
use tonic::Code;

use world::{DEFINITION, Fate, Participant, World, states};

on_both_engines!(
    a_call_that_is_never_answered_is_undone_and_never_done_later,
    an_answer_that_comes_twice_counts_once,
    every_status_ends_a_saga_as_its_class_says,
    a_participant_that_is_not_there_is_given_up,
    a_compensation_that_fails_parks_and_the_others_go_on,
    attempts_and_deadlines_survive_a_restart,
    what_only_a_repair_helps_parks_at_once,
    an_answer_that_is_too_large_parks_and_harms_nothing,
    a_participant_that_nobody_knows_parks,
    an_expression_that_fails_on_a_saga_s_values_undoes_it,
    more_sagas_than_places_wait_in_the_database,
    a_drained_orchestrator_leaves_its_sagas_to_the_next,
    a_long_wait_survives_a_restart,
    a_pivot_that_comes_late_is_never_done_after_its_refusal,
    a_pivot_that_comes_late_before_the_last_word_counts,
    a_deadline_means_nothing_past_the_pivot,
);

/// [`DEFINITION`] with a pivot that is soon given up.
fn hasty_pivot() -> String {
    DEFINITION.replace("pivot: true", "pivot: true\n    timeout: 0.3s")
}

async fn a_call_that_is_never_answered_is_undone_and_never_done_later(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let hasty = DEFINITION.replace("timeout: 10s", "timeout: 0.2s");
    world.register(&hasty).await.expect("fine");
    let gate = Arc::new(Notify::new());
    world.participant.will(
        "AuthorizePayment",
        std::iter::repeat_n(Fate::Held(gate.clone()), 3),
    );
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    let codes: Vec<_> = saga.steps[1]
        .attempts
        .iter()
        .map(|attempt| attempt.code.as_str())
        .collect();
    assert_eq!(
        codes,
        [
            "DEADLINE_EXCEEDED",
            "DEADLINE_EXCEEDED",
            "DEADLINE_EXCEEDED",
            "OK"
        ]
    );
    // A compensation without its action leaves a mark; the actions that come after it are refused.
    gate.notify_waiters();
    let late = world.participant.answered("AuthorizePayment", 3).await;
    assert_eq!(late, ["SAGA_STEP_COMPENSATED"; 3]);
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "ReleaseStock"]
    );
}

async fn an_answer_that_comes_twice_counts_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    for method in ["ReserveStock", "AuthorizePayment", "CapturePayment"] {
        world.participant.will(method, [Fate::Twice]);
    }
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(world.participant.effects(&order).await.len(), 4);
    assert!(saga.steps.iter().all(|step| step.attempts.len() == 1));
}

async fn every_status_ends_a_saga_as_its_class_says(engine: Engine) {
    use Code::{
        Aborted, AlreadyExists, DeadlineExceeded, FailedPrecondition, Internal, InvalidArgument,
        NotFound, OutOfRange, PermissionDenied, ResourceExhausted, Unauthenticated, Unavailable,
        Unimplemented, Unknown,
    };
    use pb::SagaState::{Compensated, Completed, Parked};
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let refused = [
        InvalidArgument,
        NotFound,
        FailedPrecondition,
        PermissionDenied,
        OutOfRange,
        AlreadyExists,
    ];
    let transient = [
        Unavailable,
        DeadlineExceeded,
        ResourceExhausted,
        Aborted,
        Unknown,
        Internal,
    ];
    let expected = (refused.map(|code| (code, Compensated, 1)).into_iter())
        .chain(transient.map(|code| (code, Completed, 2)))
        .chain([Unauthenticated, Unimplemented].map(|code| (code, Parked, 1)));
    for (code, state, attempts) in expected {
        let fate = Fate::Status(code, "AS_TOLD");
        world.participant.will("AuthorizePayment", [fate]);
        let (id, order) = world.begin().await;
        let saga = world.until(&id, state).await;
        let actions = saga.steps[1].attempts.iter();
        let actions = actions.filter(|attempt| attempt.operation() == pb::Operation::Action);
        assert_eq!(actions.count(), attempts, "{code:?}");
        if state == Compensated {
            let done = world.participant.effects(&order).await;
            assert_eq!(done, ["ReserveStock", "ReleaseStock"], "{code:?}");
        }
    }
}

async fn a_participant_that_is_not_there_is_given_up(engine: Engine) {
    let participant = Participant::start().await;
    // Nobody listens there.
    let nowhere =
        World::service(engine, &participant, &[]).upstream("payment", "http://127.0.0.1:1");
    let Some(service) = nowhere.start().await else {
        return;
    };
    let world = World::of(service, participant);
    let hasty = DEFINITION.replace("timeout: 10s", "timeout: 0.3s");
    world.register(&hasty).await.expect("fine");
    let (id, order) = world.begin().await;
    // Whether it was done is unknown, so it is undone; that fails as well.
    let saga = world.until(&id, pb::SagaState::Parked).await;
    let failure = saga.failure.expect("why");
    assert_eq!(failure.step, "authorize");
    assert_eq!(world.participant.effects(&order).await, ["ReserveStock"]);
}

async fn a_compensation_that_fails_parks_and_the_others_go_on(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    // Side by side, so that neither compensation waits for the other.
    let parallel = DEFINITION.replace(
        "  - name: authorize\n",
        "  - name: authorize\n    parallel: true\n",
    );
    let parallel = parallel.replace(
        "    pivot: true\n",
        "    pivot: true\n    after: [reserve, authorize]\n",
    );
    world.register(&parallel).await.expect("fine");
    world.participant.break_down("VoidPayment", Code::Internal);
    world.participant.break_down("CommitStock", Code::NotFound);
    let (stuck, order) = world.begin().await;
    let saga = world.until(&stuck, pb::SagaState::Parked).await;
    use pb::StepState::{Compensated, Failed, Parked, Waiting};
    assert_eq!(states(&saga), [Compensated, Parked, Failed, Waiting]);
    assert_eq!(saga.steps[1].attempts.len(), 1 + 3, "by its policy");
    let done = world.participant.effects(&order).await;
    assert!(done.contains(&"ReleaseStock".to_owned()), "{done:?}");
    assert_eq!(world.service.published::<pb::SagaParked>(1).await.len(), 1);

    world.participant.heal("CommitStock");
    let (other, _) = world.begin().await;
    world.until(&other, pb::SagaState::Completed).await;
    world.participant.heal("VoidPayment");
    world.retry(&stuck).await.expect("parked");
    world.until(&stuck, pb::SagaState::Compensated).await;
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

async fn attempts_and_deadlines_survive_a_restart(engine: Engine) {
    let Some(mut world) = World::start_with(engine, "1s").await else {
        return;
    };
    let patient = DEFINITION.replace(
        "maxAttempts: 3, initialBackoff: 0.02s, maxBackoff: 0.05s",
        "maxAttempts: 1000, initialBackoff: 1.5s, maxBackoff: 1.5s",
    );
    world
        .register(&patient.replace("steps:", "deadline: 8s\nsteps:"))
        .await
        .expect("fine");
    world
        .participant
        .break_down("AuthorizePayment", Code::Unavailable);
    let (id, order) = world.begin().await;
    world.participant.called("AuthorizePayment", 2).await;
    world.crash().await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(saga.failure.expect("why").reason, "SAGA_DEADLINE_PASSED");
    let actions = saga.steps[1].attempts.iter();
    let actions = actions.filter(|attempt| attempt.operation() == pb::Operation::Action);
    let numbers: Vec<_> = actions.map(|attempt| attempt.number as usize).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    assert!(numbers.len() > 2, "some before and some after: {numbers:?}");
    let (begun, ended) = (
        saga.create_time.expect("set"),
        saga.update_time.expect("set"),
    );
    assert!(ended.seconds - begun.seconds >= 7, "not before its time");
    assert_eq!(
        world.participant.effects(&order).await,
        ["ReserveStock", "ReleaseStock"]
    );
}

async fn what_only_a_repair_helps_parks_at_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    for code in [Code::Unauthenticated, Code::Unimplemented] {
        world
            .participant
            .will("AuthorizePayment", [Fate::Status(code, "NOT_SO")]);
        let (id, order) = world.begin().await;
        let saga = world.until(&id, pb::SagaState::Parked).await;
        assert_eq!(saga.steps[1].attempts.len(), 1);
        assert_eq!(saga.failure.expect("why").reason, "NOT_SO");
        world.cancel(&id).await.expect("before its pivot");
        world.until(&id, pb::SagaState::Compensated).await;
        assert_eq!(
            world.participant.effects(&order).await,
            ["ReserveStock", "ReleaseStock"]
        );
    }
}

async fn an_answer_that_is_too_large_parks_and_harms_nothing(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    world.participant.talk(64 * 1024 * 1024);
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Parked).await;
    assert_eq!(saga.failure.expect("why").reason, "REPLY_TOO_LARGE");
    // It was done, so it is undone.
    world.cancel(&id).await.expect("before its pivot");
    world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(
        world.participant.effects(&order).await,
        [
            "ReserveStock",
            "AuthorizePayment",
            "VoidPayment",
            "ReleaseStock"
        ]
    );
    world.participant.talk(0);
    let (id, _) = world.begin().await;
    world.until(&id, pb::SagaState::Completed).await;
}

async fn a_participant_that_nobody_knows_parks(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let elsewhere = "
name: test
steps:
  - name: look
    call: caravan.catalog.v1.CatalogService/GetProduct
    request: \"{'product_id': trigger.order_id}\"
";
    world
        .register(elsewhere)
        .await
        .expect("the method is in the contract");
    let (id, _) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Parked).await;
    assert_eq!(saga.failure.expect("why").reason, "NO_SUCH_PARTICIPANT");
}

async fn an_expression_that_fails_on_a_saga_s_values_undoes_it(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let picky = DEFINITION.replace("steps.authorize.payment.order_id", "trigger.order_id");
    let picky = picky.replacen(
        "CommitStock\n    request: \"{'order_id': trigger.order_id}\"",
        "CommitStock\n    request: \"{'order_id': trigger.nowhere}\"",
        1,
    );
    world.register(&picky).await.expect("fine");
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    let failure = saga.failure.expect("why");
    assert_eq!(
        (failure.step.as_str(), failure.reason.as_str()),
        ("commit", "EXPRESSION_FAILED")
    );
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

async fn more_sagas_than_places_wait_in_the_database(engine: Engine) {
    let Some(world) = World::start_as(engine, &[("SAGA_CONCURRENCY", "2")]).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    world.participant.will(
        "ReserveStock",
        std::iter::repeat_n(Fate::Held(gate.clone()), 2),
    );
    let mut begun = Vec::new();
    for _ in 0..20 {
        begun.push(world.begin().await);
    }
    world.participant.called("ReserveStock", 2).await;
    assert_eq!(world.participant.calls("ReserveStock").len(), 2);
    for _ in 0..2 {
        gate.notify_one();
    }
    for (id, order) in begun {
        world.until(&id, pb::SagaState::Completed).await;
        assert_eq!(world.participant.effects(&order).await.len(), 4);
    }
}

async fn a_drained_orchestrator_leaves_its_sagas_to_the_next(engine: Engine) {
    let Some(mut world) = World::start_with(engine, "60s").await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    world
        .participant
        .will("AuthorizePayment", [Fate::Held(gate.clone())]);
    let (id, order) = world.begin().await;
    world.participant.called("AuthorizePayment", 1).await;
    assert!(world.service.drain().await.success());
    gate.notify_one();
    // Long before the lease would have ended: it was given back.
    world.crash().await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(saga.epoch, 2);
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

async fn a_long_wait_survives_a_restart(engine: Engine) {
    let Some(mut world) = World::start_with(engine, "1s").await else {
        return;
    };
    let patient = DEFINITION.replace(
        "initialBackoff: 0.02s, maxBackoff: 0.05s",
        "initialBackoff: 4s, maxBackoff: 4s",
    );
    world.register(&patient).await.expect("fine");
    world
        .participant
        .will("ReserveStock", [Fate::Status(Code::Unavailable, "BUSY")]);
    let (id, order) = world.begin().await;
    until("the failure is recorded", || async {
        let saga = world.saga(&id).await;
        saga.steps[0].next_attempt_time.ok_or("not yet")
    })
    .await;
    world.crash().await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    let attempts = &saga.steps[0].attempts;
    let time = |time: &Option<prost_types::Timestamp>| {
        let time = time.expect("set");
        time.seconds as f64 + f64::from(time.nanos) / 1e9
    };
    let waited = time(&attempts[1].start_time) - time(&attempts[0].end_time);
    assert!((2.0..4.5).contains(&waited), "waited {waited} s");
    assert_eq!(attempts.len(), 2);
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

/// Nothing undoes a pivot, so nothing leaves a mark that keeps a late one away. The epoch does.
async fn a_pivot_that_comes_late_is_never_done_after_its_refusal(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(&hasty_pivot()).await.expect("fine");
    let gate = Arc::new(Notify::new());
    let no = Fate::Refused("TOO_LATE");
    let fates = [Fate::Held(gate.clone()), no.clone(), no];
    world.participant.will("CommitStock", fates);
    let (id, order) = world.begin().await;
    let saga = world.until(&id, pb::SagaState::Compensated).await;
    assert_eq!(saga.failure.expect("why").reason, "TOO_LATE");
    // The first answer cannot be believed while the first attempt may still act.
    assert_eq!(world.participant.calls("CommitStock"), [1, 1, 2]);
    gate.notify_one();
    let answers = world.participant.answered("CommitStock", 3).await;
    assert_eq!(answers, ["TOO_LATE", "TOO_LATE", "SAGA_EPOCH_STALE"]);
    let done = world.participant.effects(&order).await;
    assert!(!done.contains(&"CommitStock".to_owned()), "{done:?}");
    assert_eq!(done.len(), 4, "two steps and their compensations: {done:?}");
}

async fn a_pivot_that_comes_late_before_the_last_word_counts(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(&hasty_pivot()).await.expect("fine");
    let gates = [(); 2].map(|()| Arc::new(Notify::new()));
    let fates = [
        Fate::Held(gates[0].clone()),
        Fate::Status(Code::FailedPrecondition, "TOO_LATE"),
        Fate::Held(gates[1].clone()),
    ];
    world.participant.will("CommitStock", fates);
    let (id, order) = world.begin().await;
    world.participant.called("CommitStock", 3).await;
    gates[0].notify_one();
    world.participant.answered("CommitStock", 2).await;
    gates[1].notify_one();
    world.until(&id, pb::SagaState::Completed).await;
    let done = world.participant.effects(&order).await;
    assert_eq!(
        done,
        [
            "ReserveStock",
            "AuthorizePayment",
            "CommitStock",
            "CapturePayment"
        ]
    );
}

async fn a_deadline_means_nothing_past_the_pivot(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let short = DEFINITION.replace("steps:", "deadline: 1s\nsteps:");
    let patient = short.replace("maxAttempts: 3", "maxAttempts: 100");
    world.register(&patient).await.expect("fine");
    world
        .participant
        .break_down("CapturePayment", Code::Unavailable);
    let (id, order) = world.begin().await;
    let begun = std::time::Instant::now();
    until("the deadline is over", || async {
        let calls = world.participant.calls("CapturePayment").len();
        let over = begun.elapsed() > std::time::Duration::from_millis(1_200);
        if over && calls > 1 {
            Ok(())
        } else {
            Err(calls)
        }
    })
    .await;
    assert_eq!(world.saga(&id).await.state(), pb::SagaState::Running);
    world.participant.heal("CapturePayment");
    world.until(&id, pb::SagaState::Completed).await;
    assert_eq!(world.participant.effects(&order).await.len(), 4);
}

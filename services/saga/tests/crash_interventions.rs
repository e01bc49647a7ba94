//! The orchestrator killed before and after the durable write of whatever people and services do to a saga: what was
//! done counts once, or not at all, and can be done again.

mod world;

use std::sync::Arc;

use alone::{Engine, on_both_engines, wait::until};
use contracts::caravan::saga::v1::{self as pb, resolve_step_request::Outcome};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::Notify;
use tonic::{Code, Status};

use world::{Armed, Fate, Participant, Phase, Proxy, Verdict, Visit, World, Writes, structure};

on_both_engines!(
    what_is_done_to_a_saga_at_rest_survives_a_crash,
    a_signal_to_a_saga_at_work_survives_a_crash,
);

/// reserve -> approve (waits for a signal) -> authorize -> commit (the pivot).
const DEFINITION: &str = "
name: test
steps:
  - name: reserve
    call: caravan.inventory.v1.InventoryService/ReserveStock
    request: &order \"{'order_id': trigger.order_id}\"
    compensation:
      call: caravan.inventory.v1.InventoryService/ReleaseStock
      request: *order
  - name: approve
    waitFor: {signal: approved}
  - name: authorize
    call: caravan.payment.v1.PaymentService/AuthorizePayment
    request: *order
    compensation:
      call: caravan.payment.v1.PaymentService/VoidPayment
      request: *order
  - name: commit
    pivot: true
    call: caravan.inventory.v1.InventoryService/CommitStock
    request: *order
";
/// What a saga that completes does.
const FORWARD: [&str; 3] = ["reserve", "authorize", "commit"];

/// What is done to a saga.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Signal,
    Skip,
    Reply,
    Failure,
    /// A compensation is left out.
    LeaveOut,
    Retry,
    Cancel,
}

const DEEDS: [Deed; 7] = [
    Deed::Signal,
    Deed::Skip,
    Deed::Reply,
    Deed::Failure,
    Deed::LeaveOut,
    Deed::Retry,
    Deed::Cancel,
];

impl Deed {
    /// What its saga comes to before it, and what is wrong then.
    fn refuses(self, visit: &Visit) -> Option<Code> {
        let stuck = match self {
            Self::Signal | Self::Cancel => return None,
            Self::Skip | Self::Reply | Self::Failure => visit.label == "authorize",
            Self::LeaveOut if visit.label == "commit" => return Some(Code::FailedPrecondition),
            Self::LeaveOut => visit.label == "-authorize",
            Self::Retry => visit.label == "authorize" && visit.number == 1,
        };
        (stuck && !visit.done).then_some(Code::Unimplemented)
    }

    fn waits_for_a_signal(self) -> bool {
        matches!(self, Self::Signal | Self::Cancel)
    }

    fn kind(self) -> pb::InterventionKind {
        match self {
            Self::Signal => pb::InterventionKind::Signalled,
            Self::Skip | Self::LeaveOut => pb::InterventionKind::Skipped,
            Self::Reply | Self::Failure => pb::InterventionKind::Resolved,
            Self::Retry => pb::InterventionKind::Retried,
            Self::Cancel => pb::InterventionKind::Cancelled,
        }
    }

    async fn on(self, world: &World, id: &str) -> Result<(), Status> {
        let mut admin = world.admin.clone();
        let resolve = |outcome| pb::ResolveStepRequest {
            saga_id: id.into(),
            step: "authorize".into(),
            reason: "the bank says so".into(),
            outcome: Some(outcome),
            item: None,
        };
        match self {
            Self::Signal => send(world, id).await,
            Self::Skip | Self::LeaveOut => {
                let request = pb::SkipStepRequest {
                    saga_id: id.into(),
                    step: "authorize".into(),
                    reason: "done by hand".into(),
                    item: None,
                };
                admin.skip_step(request).await.map(drop)
            }
            Self::Reply => {
                let reply = resolve(Outcome::Reply(prost_types::Struct::default()));
                admin.resolve_step(reply).await.map(drop)
            }
            Self::Failure => {
                let failure = pb::ResolvedFailure {
                    reason: "CARD_DECLINED".into(),
                    message: "the bank says no".into(),
                };
                let failure = resolve(Outcome::Failure(failure));
                admin.resolve_step(failure).await.map(drop)
            }
            Self::Retry => world.retry(id).await.map(drop),
            Self::Cancel => world.cancel(id).await.map(drop),
        }
    }

    /// How its saga ends, and what was done by then.
    fn end(self) -> (pb::SagaState, &'static [&'static str]) {
        use pb::SagaState::{Compensated, Completed};
        match self {
            Self::Signal | Self::Retry => (Completed, &FORWARD),
            Self::Skip | Self::Reply => (Completed, &["reserve", "commit"]),
            Self::Failure | Self::Cancel => (Compensated, &["reserve", "-reserve"]),
            Self::LeaveOut => (Compensated, &["reserve", "authorize", "-reserve"]),
        }
    }
}

async fn send(world: &World, id: &str) -> Result<(), Status> {
    let signal = pb::SignalSagaRequest {
        saga_id: id.into(),
        signal: "approved".into(),
        signal_id: "the only one".into(),
        payload: Some(structure(&[])),
        reason: "looks right".into(),
        ..Default::default()
    };
    world.peer.clone().signal_saga(signal).await.map(drop)
}

async fn start(engine: Engine) -> Option<(World, Writes)> {
    let participant = Participant::start().await;
    let mut service = World::service(engine, &participant, &[("SAGA_LEASE", "1s")]);
    let proxy = match engine {
        Engine::Postgres => Proxy::start().await,
        Engine::Sqlite => None,
    };
    if let Some(proxy) = &proxy {
        service = service.postgres_port(proxy.port);
    }
    let world = World::of(service.start().await?, participant);
    world.register(DEFINITION).await.expect("fine");
    let writes = Writes::of(engine, world.service.database(), proxy).await;
    Some((world, writes))
}

async fn what_is_done_to_a_saga_at_rest_survives_a_crash(engine: Engine) {
    let Some((mut world, writes)) = start(engine).await else {
        return;
    };
    for deed in DEEDS {
        for phase in [Phase::Unwritten, Phase::Written] {
            survives(&mut world, &writes, deed, phase).await;
        }
    }
}

async fn survives(world: &mut World, writes: &Writes, deed: Deed, phase: Phase) {
    let order = uuid::Uuid::now_v7().to_string();
    let refusing = move |visit: Visit| -> BoxFuture<'static, Verdict> {
        let verdict = deed.refuses(&visit).map_or(Verdict::Fine, Verdict::Refused);
        async move { verdict }.boxed()
    };
    world.participant.watch(&order, Arc::new(refusing));
    let saga = world.begin_for(&order, &order).await.expect("started");
    let id = saga.saga_id;
    if !deed.waits_for_a_signal() {
        send(world, &id).await.expect("kept");
    }
    until(&format!("{id} rests before {deed:?}"), || async {
        let saga = world.saga(&id).await;
        let rests = if deed.waits_for_a_signal() {
            saga.current_steps == ["approve"]
        } else {
            saga.state() == pb::SagaState::Parked
        };
        if rests { Ok(()) } else { Err(saga) }
    })
    .await;

    let armed = Armed::new(world.service.pid(), phase);
    writes.arm(armed.clone()).await;
    // It dies before it answers.
    let _ = deed.on(world, &id).await;
    armed.dead(&(deed, phase)).await;
    world.crash().await;
    let again = deed.on(world, &id).await;
    // Where it was kept the saga may be further than that.
    let refused = again.is_err_and(|status| status.code() != Code::FailedPrecondition);
    assert!(!refused, "{deed:?} {phase:?}");

    let (state, done) = deed.end();
    let saga = world.until(&id, state).await;
    assert_eq!(world.participant.labels(&order).await, done, "{deed:?}");
    let kind = deed.kind();
    let times = saga.interventions.iter().filter(|told| told.kind() == kind);
    assert_eq!(times.count(), 1, "{deed:?} {phase:?}: {saga:?}");
}

async fn a_signal_to_a_saga_at_work_survives_a_crash(engine: Engine) {
    let Some((mut world, writes)) = start(engine).await else {
        return;
    };
    for phase in [Phase::Unwritten, Phase::Written] {
        let gate = Arc::new(Notify::new());
        let held = Fate::Held(gate.clone());
        world.participant.will("ReserveStock", [held]);
        let calls = world.participant.calls("ReserveStock").len();
        let (id, order) = world.begin().await;
        world.participant.called("ReserveStock", calls + 1).await;
        let armed = Armed::new(world.service.pid(), phase);
        writes.arm(armed.clone()).await;
        let _ = send(&world, &id).await;
        armed.dead(&phase).await;
        gate.notify_one();
        world.crash().await;
        send(&world, &id).await.expect("kept now, or known");
        let saga = world.until(&id, pb::SagaState::Completed).await;
        assert_eq!(saga.interventions.len(), 1, "{phase:?}");
        assert_eq!(world.participant.labels(&order).await, FORWARD);
    }
}

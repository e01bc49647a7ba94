//! The orchestrator killed before and after every call and every durable write of every step, action and compensation:
//! whatever the point, a restarted one ends the saga as if nothing had happened. The participants' ledger is the judge.

mod world;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use alone::{Engine, on_both_engines, wait::until};
use contracts::caravan::saga::v1 as pb;
use futures::{FutureExt as _, future::join_all};
use tonic::Code;
use uuid::Uuid;

use world::{
    Armed, Fate, PHASES, Participant, Phase, Proxy, Verdict, Visit, Watcher, World, Writes,
    lock_out,
};

on_both_engines!(
    a_saga_that_goes_forward_survives_every_crash,
    a_saga_that_turns_back_survives_every_crash,
    an_orchestrator_that_dies_while_it_claims_is_followed_by_the_next,
);

/// Two steps side by side, one for each item of a list after both, the pivot, and one after it.
const DEFINITION: &str = "
name: test
steps:
  - name: stock
    call: caravan.inventory.v1.InventoryService/ReserveStock
    request: &order \"{'order_id': trigger.order_id}\"
    retry: &quick {initialBackoff: 0.02s, maxBackoff: 0.05s}
    compensation:
      call: caravan.inventory.v1.InventoryService/ReleaseStock
      request: *order
      retry: *quick
  - name: money
    parallel: true
    call: caravan.payment.v1.PaymentService/AuthorizePayment
    request: *order
    retry: *quick
    compensation:
      call: caravan.payment.v1.PaymentService/VoidPayment
      request: *order
      retry: *quick
  - name: label
    after: [stock, money]
    forEach: {items: \"[0, 1]\"}
    call: caravan.inventory.v1.InventoryService/ReserveStock
    request: \"{'order_id': steps.money.payment.order_id}\"
    retry: *quick
    compensation:
      call: caravan.inventory.v1.InventoryService/ReleaseStock
      request: *order
      retry: *quick
  - name: confirm
    pivot: true
    call: caravan.inventory.v1.InventoryService/CommitStock
    request: *order
    retry: *quick
  - name: capture
    call: caravan.payment.v1.PaymentService/CapturePayment
    request: *order
    retry: *quick
";
/// A wait that is too long for a task: the saga waits in its row.
const PATIENCE: &str = "jitter: 0, initialBackoff: 2s, maxBackoff: 2s";
/// For how long an orchestrator that cannot write is left to try what is due. Nothing waits for this to be enough.
const TIME_TO_CLAIM: Duration = Duration::from_millis(100);
/// What a saga does before its pivot, two by two side by side.
const BEFORE_PIVOT: [[&str; 2]; 2] = [["stock", "money"], ["label.0", "label.1"]];
/// The first answer of these is lost after the work is done, so that retries are among the points.
const FIRST_ANSWER_LOST: [&str; 2] = ["money", "-stock"];
/// Orchestrators killed at the same time.
const LANES: usize = 4;

/// A moment in the life of a saga.
#[derive(Clone, Debug)]
struct Point {
    /// The call; empty for StartSaga.
    label: String,
    /// From 1.
    number: usize,
    phase: Phase,
}

/// One orchestrator after the other, over one database.
struct Lane {
    world: World,
    writes: Writes,
    /// The pivot is refused.
    back: bool,
    /// Every saga so far.
    begun: Vec<String>,
}

async fn a_saga_that_goes_forward_survives_every_crash(engine: Engine) {
    matrix(engine, false).await;
}

async fn a_saga_that_turns_back_survives_every_crash(engine: Engine) {
    matrix(engine, true).await;
}

async fn matrix(engine: Engine, back: bool) {
    let Some(mut first) = Lane::start(engine, back).await else {
        return;
    };
    let points = first.points().await;
    assert!(points.len() > 20, "{points:?}");
    let mut lanes = vec![first];
    let more = (1..LANES).map(|_| Lane::start(engine, back));
    lanes.extend(join_all(more).await.into_iter().flatten());
    let shares = lanes.into_iter().enumerate().map(|(number, mut lane)| {
        let points = points.iter().skip(number).step_by(LANES);
        async move {
            for point in points {
                lane.survives(point).await;
            }
            lane.has_told().await;
        }
    });
    join_all(shares).await;
}

async fn an_orchestrator_that_dies_while_it_claims_is_followed_by_the_next(engine: Engine) {
    for phase in [Phase::Unwritten, Phase::Written] {
        if (engine, phase) == (Engine::Sqlite, Phase::Unwritten) {
            // The lock that would keep it from claiming keeps it from starting at all; see the test below.
            continue;
        }
        let Some(mut lane) = Lane::start(engine, false).await else {
            return;
        };
        let order = Uuid::now_v7().to_string();
        let point = Point {
            label: "label.0".into(),
            number: 1,
            phase: Phase::Arrived,
        };
        lane.dies_at(&order, &point).await;
        let writes = lane.writes.clone();
        let doomed = async |pid| {
            let armed = Armed::new(pid, phase);
            writes.arm(armed.clone()).await;
            armed.dead(&phase).await;
        };
        lane.world.service.crash_and_start_doomed(doomed).await;
        lane.world.crash().await;
        let saga = lane.ends(&order, &point).await;
        assert!(saga.epoch >= if phase == Phase::Written { 3 } else { 2 });
    }
}

/// On SQLite: it is locked out before the saga is due, and dies when it should have claimed it.
#[tokio::test]
async fn a_claim_that_is_not_written_leaves_no_trace() {
    let Some(mut lane) = Lane::start(Engine::Sqlite, false).await else {
        return;
    };
    let patient = DEFINITION.replacen("initialBackoff: 0.02s, maxBackoff: 0.05s", PATIENCE, 1);
    lane.world.register(&patient).await.expect("fine");
    let busy = Fate::Status(Code::Unavailable, "BUSY");
    lane.world.participant.will("ReserveStock", [busy]);
    let order = Uuid::now_v7().to_string();
    let id = lane.world.begin_for(&order, &order).await.expect("started");
    let due = until("it waits in its row", || async {
        let saga = lane.world.saga(&id.saga_id).await;
        let waits = saga.steps[1].state() == pb::StepState::Done;
        let due = saga.steps[0].next_attempt_time.filter(|_| waits);
        due.ok_or(saga)
    })
    .await;
    let due = std::time::SystemTime::try_from(due).expect("a time");
    let wait = due.duration_since(std::time::SystemTime::now());
    let armed = Armed::new(lane.world.service.pid(), Phase::Unwritten);
    let Writes::Sqlite(file) = &lane.writes else {
        unreachable!("it is SQLite");
    };
    let held_for = wait.unwrap_or_default() + TIME_TO_CLAIM;
    lock_out(file, armed.clone(), held_for).await;
    armed.dead(&"its claim").await;
    lane.world.crash().await;
    let point = Point {
        label: "stock".into(),
        number: 2,
        phase: Phase::Unwritten,
    };
    let saga = lane.ends(&order, &point).await;
    assert_eq!(saga.epoch, 2, "only the claim that was written counts");
}

impl Lane {
    async fn start(engine: Engine, back: bool) -> Option<Self> {
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
        if back {
            let refused = Code::FailedPrecondition;
            world.participant.break_down("CommitStock", refused);
        }
        let writes = Writes::of(engine, world.service.database(), proxy).await;
        Some(Self {
            world,
            writes,
            back,
            begun: Vec::new(),
        })
    }

    /// Counts the calls of a saga that nobody disturbs; at each there are four points.
    async fn points(&mut self) -> Vec<Point> {
        let visits = Arc::new(Mutex::new(Vec::<Visit>::new()));
        let (order, seen) = (Uuid::now_v7().to_string(), visits.clone());
        let watcher: Watcher = Arc::new(move |visit| {
            let answered = answered(&visit);
            seen.lock().expect("nobody panicked").push(visit);
            async move { answered }.boxed()
        });
        self.world.participant.watch(&order, watcher);
        let begun = Point {
            label: String::new(),
            number: 1,
            phase: Phase::Arrived,
        };
        self.ends(&order, &begun).await;
        let visits = visits.lock().expect("nobody panicked");
        let calls = visits.iter().filter(|visit| visit.done);
        let at_calls = calls.flat_map(|visit| PHASES.map(|phase| (visit, phase)));
        let mut points: Vec<_> = at_calls
            .map(|(visit, phase)| Point {
                label: visit.label.clone(),
                number: visit.number,
                phase,
            })
            .collect();
        let start = [Phase::Unwritten, Phase::Written].map(|phase| Point {
            phase,
            ..begun.clone()
        });
        points.extend(start);
        points
    }

    /// Kills the orchestrator at the point, and sees that the saga ends all the same.
    async fn survives(&mut self, point: &Point) {
        let order = Uuid::now_v7().to_string();
        self.dies_at(&order, point).await;
        self.world.crash().await;
        self.ends(&order, point).await;
    }

    async fn dies_at(&mut self, order: &str, point: &Point) {
        let armed = Armed::new(self.world.service.pid(), point.phase);
        if point.label.is_empty() {
            self.writes.arm(armed.clone()).await;
        }
        let watcher = killer(point.clone(), armed.clone(), self.writes.clone());
        self.world.participant.watch(order, watcher);
        // It may die before it answers.
        let _ = self.world.begin_for(order, order).await;
        armed.dead(point).await;
    }

    /// The same key is the same saga, whether its start was answered or not: it ends as the model says.
    async fn ends(&mut self, order: &str, point: &Point) -> pb::Saga {
        let begun = until("the saga is started or found", || async {
            self.world.begin_for(order, order).await
        });
        let id = begun.await.saga_id;
        let state = if self.back {
            pb::SagaState::Compensated
        } else {
            pb::SagaState::Completed
        };
        let saga = self.world.until(&id, state).await;
        let done = self.world.participant.labels(order).await;
        judge(&done, self.back, point);
        self.begun.push(id);
        saga
    }

    /// Every saga's end is told once.
    async fn has_told(&self) {
        let (service, count) = (&self.world.service, self.begun.len());
        let mut told: Vec<String> = if self.back {
            let events = service.published::<pb::SagaCompensated>(count).await;
            events.into_iter().map(|event| event.saga_id).collect()
        } else {
            let events = service.published::<pb::SagaCompleted>(count).await;
            events.into_iter().map(|event| event.saga_id).collect()
        };
        let mut begun = self.begun.clone();
        told.sort();
        begun.sort();
        assert_eq!(told, begun);
    }
}

fn answered(visit: &Visit) -> Verdict {
    let lost = visit.number == 1 && FIRST_ANSWER_LOST.contains(&visit.label.as_str());
    if visit.done && lost {
        Verdict::Lost
    } else {
        Verdict::Fine
    }
}

/// Kills the orchestrator when it comes to the point, once.
fn killer(point: Point, armed: Armed, writes: Writes) -> Watcher {
    let waiting = Arc::new(AtomicBool::new(true));
    Arc::new(move |visit| {
        let is_there = (visit.label.as_str(), visit.number) == (point.label.as_str(), point.number)
            && visit.done == (point.phase != Phase::Arrived);
        let answered = answered(&visit);
        let (armed, writes, waiting) = (armed.clone(), writes.clone(), waiting.clone());
        async move {
            if !is_there || !waiting.swap(false, SeqCst) {
                return answered;
            }
            match armed.phase {
                Phase::Arrived | Phase::Done => {
                    armed.kill();
                    Verdict::Lost
                }
                Phase::Unwritten | Phase::Written => {
                    writes.arm(armed).await;
                    answered
                }
            }
        }
        .boxed()
    })
}

/// The model: each step once and in order, or once and undone in reverse.
fn judge(done: &[String], back: bool, point: &Point) {
    let at = |label: &str| {
        let found: Vec<_> = (0..done.len()).filter(|at| done[*at] == label).collect();
        assert_eq!(found.len(), 1, "{label} after {point:?}: {done:?}");
        found[0]
    };
    let pair = |pair: [String; 2]| {
        let mut pair = pair.map(|label| at(&label));
        pair.sort_unstable();
        pair
    };
    let mut order = BEFORE_PIVOT
        .map(|labels| pair(labels.map(str::to_owned)))
        .concat();
    if back {
        let undone = BEFORE_PIVOT.map(|labels| pair(labels.map(|label| format!("-{label}"))));
        order.extend(undone.into_iter().rev().flatten());
    } else {
        order.extend([at("confirm"), at("capture")]);
    }
    assert!(order.is_sorted(), "after {point:?}: {done:?}");
    assert_eq!(order.len(), done.len(), "after {point:?}: {done:?}");
}

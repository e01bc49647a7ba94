//! Random graphs over a real orchestrator with random faults, crashes and cancellations: what participants have done in
//! the end is what the model says, each effect once, or undone.

mod world;

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    sync::Arc,
};

use alone::{Engine, on_both_engines, wait::until};
use contracts::caravan::saga::v1::{self as pb, register_definition_request::Content};
use futures::FutureExt as _;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use tonic::Code;
use uuid::Uuid;

use world::{Verdict, Watcher, World, structure};

on_both_engines!(the_engine_does_what_the_model_does);

/// Sagas, all at the same time.
const SAGAS: usize = 40;
/// Times that the orchestrator is killed meanwhile.
const CRASHES: usize = 3;
/// Calls of one step that can go wrong; those after them go well.
const FAULTS_PER_CALL: usize = 5;

/// What one saga does.
#[derive(Clone, Debug)]
struct Plan {
    steps: Vec<Planned>,
    pivot: Option<usize>,
    /// What the faults follow from.
    seed: u64,
    cancelled: bool,
}

#[derive(Clone, Debug)]
struct Planned {
    /// Earlier steps.
    after: Vec<usize>,
    skipped: bool,
    /// Done for so many items of a list.
    items: Option<usize>,
}

/// Where a pivot is, it stands between all others.
fn plan() -> impl Strategy<Value = Plan> {
    let step = (
        any::<u8>(),
        proptest::bool::weighted(0.15),
        proptest::option::weighted(0.3, 0..4_usize),
    );
    let steps = proptest::collection::vec(step, 1..7);
    let pivot = proptest::option::of(0..7_usize);
    let cancelled = proptest::bool::weighted(0.2);
    (steps, pivot, any::<u64>(), cancelled).prop_map(|(drawn, pivot, seed, cancelled)| {
        let pivot = pivot.filter(|pivot| *pivot < drawn.len());
        let step = |(place, (bits, skipped, items)): (usize, &(u8, bool, Option<usize>))| {
            let is_pivot = pivot == Some(place);
            let past = pivot.is_some_and(|pivot| pivot < place);
            let before = |earlier: &usize| {
                is_pivot || bits >> earlier & 1 == 1 || past && pivot == Some(*earlier)
            };
            Planned {
                after: (0..place).filter(before).collect(),
                skipped: *skipped && !is_pivot,
                items: items.filter(|_| !is_pivot),
            }
        };
        Plan {
            steps: drawn.iter().enumerate().map(step).collect(),
            pivot,
            seed,
            cancelled,
        }
    })
}

impl Plan {
    fn definition(&self, name: &str) -> pb::Definition {
        let request = "{'order_id': trigger.order_id}";
        let retry = Some(pb::RetryPolicy {
            max_attempts: 3,
            initial_backoff: Some(milliseconds(10)),
            max_backoff: Some(milliseconds(20)),
            ..Default::default()
        });
        let undo = pb::Compensation {
            call: "caravan.inventory.v1.InventoryService/ReleaseStock".into(),
            request: request.into(),
            retry,
        };
        let steps = self.steps.iter().enumerate().map(|(place, step)| pb::Step {
            name: format!("s{place}"),
            after: step.after.iter().map(|step| format!("s{step}")).collect(),
            parallel: true,
            call: "caravan.inventory.v1.InventoryService/ReserveStock".into(),
            request: request.into(),
            compensation: self.is_undoable(place).then(|| undo.clone()),
            when: if step.skipped {
                "trigger.order_id == ''"
            } else {
                ""
            }
            .into(),
            retry,
            pivot: self.pivot == Some(place),
            for_each: step.items.map(|items| pb::ForEach {
                items: format!("{:?}", (0..items).collect::<Vec<_>>()),
                ..Default::default()
            }),
            ..Default::default()
        });
        pb::Definition {
            name: name.into(),
            steps: steps.collect(),
            ..Default::default()
        }
    }

    fn is_undoable(&self, step: usize) -> bool {
        self.pivot.is_none_or(|pivot| step < pivot)
    }

    /// What a step is called by, as its participants see it.
    fn labels(&self, step: usize) -> Vec<String> {
        match self.steps[step].items {
            None => vec![format!("s{step}")],
            Some(items) => (0..items).map(|item| format!("s{step}.{item}")).collect(),
        }
    }

    /// What becomes of each call. Only the first of a step is refused: a participant that has done it does not say no.
    fn faults(&self) -> Watcher {
        let seed = self.seed;
        Arc::new(move |visit| {
            let mut hasher = DefaultHasher::new();
            (seed, &visit.label, visit.number).hash(&mut hasher);
            let chance = hasher.finish() % 16;
            let verdict = match chance {
                _ if visit.number > FAULTS_PER_CALL => Verdict::Fine,
                0 | 1 if !visit.done => Verdict::Lost,
                2 | 3 if visit.done => Verdict::Lost,
                4 if !visit.done => Verdict::Refused(Code::Unavailable),
                5 if !visit.done && visit.number == 1 => Verdict::Refused(Code::NotFound),
                6 if !visit.done && visit.number == 1 => Verdict::Refused(Code::Unimplemented),
                _ => Verdict::Fine,
            };
            async move { verdict }.boxed()
        })
    }

    /// Compares what was done with what the model says of a saga that ended so.
    fn judge(&self, saga: &pb::Saga, done: &[String]) {
        let context = || format!("{self:#?}\n{saga:#?}\n{done:?}");
        let unique: BTreeSet<_> = done.iter().collect();
        assert_eq!(unique.len(), done.len(), "something twice: {}", context());
        let at = |label: &str| done.iter().position(|entry| entry == label);
        let mut known = 0;
        for step in 0..self.steps.len() {
            for label in self.labels(step) {
                let (acted, undone) = (at(&label), at(&format!("-{label}")));
                known += usize::from(acted.is_some()) + usize::from(undone.is_some());
                let skipped = self.steps[step].skipped;
                let as_modelled = match saga.state() {
                    pb::SagaState::Completed => acted.is_none() == skipped && undone.is_none(),
                    _ if skipped || !self.is_undoable(step) => acted.is_none() && undone.is_none(),
                    _ => acted.is_some() == undone.is_some(),
                };
                assert!(as_modelled, "{label}: {}", context());
                assert!(undone.is_none_or(|at| Some(at) > acted), "{}", context());
                self.in_order(step, (acted, undone), &at, &context);
            }
        }
        assert_eq!(known, done.len(), "something else: {}", context());
    }

    /// A step is done after those that it waits for, and undone before them.
    fn in_order(
        &self,
        step: usize,
        (acted, undone): (Option<usize>, Option<usize>),
        at: &impl Fn(&str) -> Option<usize>,
        context: &impl Fn() -> String,
    ) {
        for earlier in self.steps[step]
            .after
            .iter()
            .flat_map(|step| self.labels(*step))
        {
            if let (Some(acted), Some(before)) = (acted, at(&earlier)) {
                assert!(before < acted, "{earlier}: {}", context());
            }
            if let (Some(undone), Some(after)) = (undone, at(&format!("-{earlier}"))) {
                assert!(undone < after, "-{earlier}: {}", context());
            }
        }
    }
}

fn milliseconds(milliseconds: i32) -> prost_types::Duration {
    prost_types::Duration {
        seconds: 0,
        nanos: milliseconds * 1_000_000,
    }
}

async fn the_engine_does_what_the_model_does(engine: Engine) {
    let Some(mut world) = World::start_with(engine, "1s").await else {
        return;
    };
    let drawn = proptest::collection::vec(plan(), SAGAS).new_tree(&mut TestRunner::default());
    let plans = drawn.expect("plans").current();
    let mut begun = Vec::new();
    for (number, plan) in plans.iter().enumerate() {
        let order = Uuid::now_v7().to_string();
        world.participant.watch(&order, plan.faults());
        let id = begin(&world, &format!("random-{number}"), plan, &order).await;
        if plan.cancelled {
            // Past its pivot, or at its end, it is refused.
            let _ = world.cancel(&id).await;
        }
        begun.push((id, order));
        if number % (SAGAS / CRASHES) == SAGAS / CRASHES - 1 {
            world.crash().await;
        }
    }
    for ((id, order), plan) in begun.iter().zip(&plans) {
        let saga = until(&format!("{id} ends: {plan:?}"), || async {
            let saga = world.saga(id).await;
            match saga.state() {
                pb::SagaState::Completed | pb::SagaState::Compensated => return Ok(saga),
                // Its operator has repaired what was to be repaired.
                pb::SagaState::Parked => drop(world.retry(id).await),
                _ => {}
            }
            Err(saga)
        })
        .await;
        plan.judge(&saga, &world.participant.labels(order).await);
    }
}

async fn begin(world: &World, name: &str, plan: &Plan, order: &str) -> String {
    let request = pb::RegisterDefinitionRequest {
        content: Some(Content::Definition(plan.definition(name))),
    };
    let registered = world.peer.clone().register_definition(request).await;
    registered.unwrap_or_else(|refusal| panic!("{plan:#?}\n{refusal}"));
    let request = pb::StartSagaRequest {
        definition: name.into(),
        key: order.into(),
        input: Some(structure(&[("order_id", order)])),
    };
    let begun = world.peer.clone().start_saga(request).await;
    begun
        .expect("started")
        .into_inner()
        .saga
        .expect("always there")
        .saga_id
}

//! A saga without an orchestrator: the test answers its calls.

use std::sync::Arc;

use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost_reflect::DynamicMessage;
use saga::{
    check,
    domain::{
        Micros,
        definition::Definition,
        outcome::{Outcome, Refusal},
        saga::{Order, Saga},
        transition::{Operation, Transition},
    },
};
use uuid::Uuid;

pub(crate) const START: Micros = 1_000_000_000;

/// A definition whose steps call something harmless. `(name, after, compensated, pivot)`; an empty `after` is parallel.
pub(crate) fn definition(steps: &[(&str, &[&str], bool, bool)], attempts: i32) -> Arc<Definition> {
    compile(&described(steps, attempts))
}

pub(crate) fn described(steps: &[(&str, &[&str], bool, bool)], attempts: i32) -> pb::Definition {
    let retry = Some(pb::RetryPolicy {
        max_attempts: attempts,
        ..Default::default()
    });
    let undo = || pb::Compensation {
        call: "caravan.inventory.v1.InventoryService/ReleaseStock".into(),
        request: "{'order_id': saga.key}".into(),
        retry,
    };
    let steps = steps
        .iter()
        .map(|(name, after, compensated, pivot)| pb::Step {
            name: (*name).into(),
            after: after.iter().map(|name| (*name).into()).collect(),
            parallel: true,
            call: "caravan.inventory.v1.InventoryService/CommitStock".into(),
            request: "{'order_id': saga.key}".into(),
            compensation: compensated.then(undo),
            retry,
            pivot: *pivot,
            ..Default::default()
        });
    pb::Definition {
        name: "test".into(),
        steps: steps.collect(),
        ..Default::default()
    }
}

pub(crate) fn compile(definition: &pb::Definition) -> Arc<Definition> {
    Arc::new(
        check::compile(definition, &DESCRIPTOR_POOL).unwrap_or_else(|faults| panic!("{faults:#?}")),
    )
}

/// A saga whose participants are the test.
pub(crate) struct Bench {
    pub(crate) saga: Saga,
    pub(crate) log: Vec<Transition>,
    pub(crate) orders: Vec<Order>,
    pub(crate) now: Micros,
    pub(crate) epoch: i64,
}

impl Bench {
    pub(crate) fn start(definition: &Arc<Definition>) -> Self {
        let mut bench = Self {
            saga: fresh(definition),
            log: Vec::new(),
            orders: Vec::new(),
            now: START,
            epoch: 1,
        };
        bench.advance();
        bench
    }

    pub(crate) fn advance(&mut self) {
        let advance = self.saga.advance(self.now);
        self.log.extend(advance.transitions);
        self.orders.extend(advance.orders);
    }

    /// What is called now, oldest first: `step` or `-step`, an item of it as `step.0`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.orders.iter().map(|order| self.label(order)).collect()
    }

    pub(crate) fn label(&self, order: &Order) -> String {
        let sign = if order.operation == Operation::Compensation {
            "-"
        } else {
            ""
        };
        let item = order
            .item
            .map(|item| format!(".{item}"))
            .unwrap_or_default();
        let name = &self.saga.definition().steps[order.step].name;
        format!("{sign}{name}{item}")
    }

    pub(crate) fn answer(&mut self, call: &str, result: Result<(), &str>) {
        let place = self
            .orders
            .iter()
            .position(|order| self.label(order) == call);
        let order = self
            .orders
            .remove(place.unwrap_or_else(|| panic!("{call} is not under way: {:?}", self.calls())));
        let result = result
            .map(|()| prost::bytes::Bytes::new())
            .map_err(|code| Refusal::new(code, "WHY", "because"));
        let outcome = Outcome {
            step: order.step,
            item: order.item,
            operation: order.operation,
            attempt: order.attempt,
            result,
        };
        self.log.extend(self.saga.settle(outcome, self.now, 1.0));
        self.advance();
    }

    pub(crate) fn ok(&mut self, call: &str) {
        self.answer(call, Ok(()));
    }

    /// Fails until the policy is used up, waiting as it says.
    pub(crate) fn exhaust(&mut self, call: &str) {
        while self.calls().iter().any(|other| other == call) {
            self.answer(call, Err("UNAVAILABLE"));
            self.sleep();
        }
    }

    /// An operator brings what is parked on.
    pub(crate) fn retry(&mut self) {
        let by = ("operator".into(), "fixed".into());
        let transitions = self.saga.retry(by.0, by.1).expect("parked");
        self.log.extend(transitions);
        self.advance();
    }

    /// An operator turns the saga back; what comes of that is for [`Self::advance`].
    pub(crate) fn cancel(&mut self) {
        let by = ("operator".into(), "no longer wanted".into());
        let transitions = self.saga.cancel(by.0, by.1).expect("before the pivot");
        self.log.extend(transitions);
    }

    pub(crate) fn sleep(&mut self) {
        if self.saga.needs_new_epoch() {
            self.crash();
        }
        if let Some(at) = self.saga.wake_at() {
            self.now = self.now.max(at);
            self.advance();
        }
    }

    /// The same saga as another orchestrator finds it, under a newer epoch.
    pub(crate) fn crash(&mut self) {
        self.epoch += 1;
        let mut saga = fresh(self.saga.definition());
        saga.replay(&self.log).expect("its own log");
        self.saga = saga;
        self.orders.clear();
        self.advance();
    }
}

pub(crate) fn fresh(definition: &Arc<Definition>) -> Saga {
    let input = DESCRIPTOR_POOL
        .get_message_by_name("google.protobuf.Struct")
        .expect("known");
    Saga::start(
        Arc::clone(definition),
        Uuid::nil(),
        "key".into(),
        &DynamicMessage::new(input),
        START,
    )
}

/// a -> b -> c, all compensated.
pub(crate) fn chain(attempts: i32) -> Arc<Definition> {
    definition(
        &[
            ("a", &[], true, false),
            ("b", &["a"], true, false),
            ("c", &["b"], true, false),
        ],
        attempts,
    )
}

/// a -> p (pivot) -> x, y
pub(crate) fn with_pivot(attempts: i32) -> Arc<Definition> {
    let steps: [(&str, &[&str], bool, bool); 4] = [
        ("a", &[], true, false),
        ("p", &["a"], false, true),
        ("x", &["p"], false, false),
        ("y", &["p"], false, false),
    ];
    definition(&steps, attempts)
}

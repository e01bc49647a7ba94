//! The state machine alone: what it does next, rule by rule, and at random against its invariants.

use std::{sync::Arc, time::Duration};

use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost_reflect::DynamicMessage;
use uuid::Uuid;

use saga::{
    check,
    domain::{
        Micros,
        definition::Definition,
        outcome::{Outcome, Refusal},
        saga::{Order, Progress, Refused, Saga, State},
        transition::{Operation, Sequel, Transition},
    },
};

mod random;

const START: Micros = 1_000_000_000;

/// A definition whose steps call something harmless. `(name, after, compensated, pivot)`; an empty `after` is parallel.
fn definition(steps: &[(&str, &[&str], bool, bool)], attempts: i32) -> Arc<Definition> {
    compile(&described(steps, attempts))
}

fn described(steps: &[(&str, &[&str], bool, bool)], attempts: i32) -> pb::Definition {
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

fn compile(definition: &pb::Definition) -> Arc<Definition> {
    Arc::new(
        check::compile(definition, &DESCRIPTOR_POOL).unwrap_or_else(|faults| panic!("{faults:#?}")),
    )
}

/// A saga whose participants are the test.
struct Bench {
    saga: Saga,
    log: Vec<Transition>,
    orders: Vec<Order>,
    now: Micros,
    epoch: i64,
}

impl Bench {
    fn start(definition: &Arc<Definition>) -> Self {
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

    fn advance(&mut self) {
        let advance = self.saga.advance(self.now);
        self.log.extend(advance.transitions);
        self.orders.extend(advance.orders);
    }

    /// What is called now, oldest first: `step` or `-step`, an item of it as `step.0`.
    fn calls(&self) -> Vec<String> {
        self.orders.iter().map(|order| self.label(order)).collect()
    }

    fn label(&self, order: &Order) -> String {
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

    fn answer(&mut self, call: &str, result: Result<(), &str>) {
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

    fn ok(&mut self, call: &str) {
        self.answer(call, Ok(()));
    }

    /// Fails until the policy is used up, waiting as it says.
    fn exhaust(&mut self, call: &str) {
        while self.calls().iter().any(|other| other == call) {
            self.answer(call, Err("UNAVAILABLE"));
            self.sleep();
        }
    }

    fn sleep(&mut self) {
        if self.saga.needs_new_epoch() {
            self.crash();
        }
        if let Some(at) = self.saga.wake_at() {
            self.now = self.now.max(at);
            self.advance();
        }
    }

    /// The same saga as another orchestrator finds it, under a newer epoch.
    fn crash(&mut self) {
        self.epoch += 1;
        let mut saga = fresh(self.saga.definition());
        saga.replay(&self.log).expect("its own log");
        self.saga = saga;
        self.orders.clear();
        self.advance();
    }
}

fn fresh(definition: &Arc<Definition>) -> Saga {
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
fn chain(attempts: i32) -> Arc<Definition> {
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
fn with_pivot(attempts: i32) -> Arc<Definition> {
    let steps: [(&str, &[&str], bool, bool); 4] = [
        ("a", &[], true, false),
        ("p", &["a"], false, true),
        ("x", &["p"], false, false),
        ("y", &["p"], false, false),
    ];
    definition(&steps, attempts)
}

#[test]
fn steps_follow_the_graph_and_the_saga_completes() {
    let mut bench = Bench::start(&definition(
        &[
            ("a", &[], true, false),
            ("b", &["a"], true, false),
            ("c", &["a"], true, false),
            ("d", &["b", "c"], true, false),
        ],
        3,
    ));
    assert_eq!(bench.calls(), ["a"]);
    bench.ok("a");
    assert_eq!(bench.calls(), ["b", "c"]);
    bench.ok("c");
    assert_eq!(bench.calls(), ["b"]);
    bench.ok("b");
    bench.ok("d");
    assert_eq!(bench.saga.state(), State::Completed);
}

#[test]
fn the_outcome_of_a_step_and_the_intent_of_the_next_are_one_change() {
    let mut bench = Bench::start(&chain(3));
    let before = bench.log.len();
    bench.ok("a");
    assert!(matches!(
        bench.log[before..],
        [
            Transition::Answered { step: 0, .. },
            Transition::Called { step: 1, .. }
        ]
    ));
}

#[test]
fn a_refusal_undoes_in_reverse_but_not_what_was_refused() {
    let mut bench = Bench::start(&chain(3));
    bench.ok("a");
    bench.ok("b");
    bench.answer("c", Err("FAILED_PRECONDITION"));
    assert_eq!(bench.calls(), ["-b"]);
    bench.ok("-b");
    assert_eq!(bench.calls(), ["-a"]);
    bench.ok("-a");
    assert_eq!(bench.saga.state(), State::Compensated);
    let failure = bench.saga.failure().expect("why");
    assert_eq!((&*failure.step, failure.reason.as_str()), ("c", "WHY"));
}

#[test]
fn a_transient_failure_comes_again_later_and_its_attempts_are_counted() {
    let mut bench = Bench::start(&chain(3));
    bench.answer("a", Err("UNAVAILABLE"));
    assert!(bench.calls().is_empty());
    assert_eq!(bench.saga.wake_at(), Some(START + 100_000));
    bench.now += 99_999;
    bench.advance();
    assert!(bench.calls().is_empty(), "too early");
    bench.sleep();
    assert_eq!(bench.orders[0].attempt, 2);
}

#[test]
fn a_step_that_was_given_up_with_an_unknown_outcome_is_undone_too() {
    let mut bench = Bench::start(&chain(2));
    bench.ok("a");
    bench.exhaust("b");
    assert_eq!(bench.calls(), ["-b"]);
    bench.ok("-b");
    bench.ok("-a");
    assert_eq!(bench.saga.state(), State::Compensated);
}

#[test]
fn a_refusal_after_an_unknown_outcome_is_undone_too() {
    let mut bench = Bench::start(&chain(3));
    bench.answer("a", Err("DEADLINE_EXCEEDED"));
    bench.sleep();
    bench.answer("a", Err("ALREADY_EXISTS"));
    assert_eq!(bench.calls(), ["-a"]);
}

#[test]
fn after_the_pivot_steps_only_go_forward_and_park() {
    let mut bench = Bench::start(&with_pivot(2));
    bench.ok("a");
    bench.ok("p");
    assert_eq!(
        bench.saga.cancel("x".into(), "y".into()),
        Err(Refused::PastPivot)
    );
    bench.exhaust("x");
    assert_eq!(bench.saga.state(), State::Running, "the other one goes on");
    bench.ok("y");
    assert_eq!(bench.saga.state(), State::Parked);
    assert_eq!(bench.saga.steps()[2].action.progress, Progress::Parked);

    let transitions = bench
        .saga
        .retry("operator".into(), "fixed".into())
        .expect("parked");
    bench.log.extend(transitions);
    bench.advance();
    assert_eq!(bench.orders[0].attempt, 3, "numbers go on");
    bench.answer("x", Err("UNAVAILABLE"));
    assert_eq!(bench.saga.state(), State::Running, "but are counted anew");
    bench.sleep();
    bench.ok("x");
    assert_eq!(bench.saga.state(), State::Completed);
}

#[test]
fn what_cannot_be_undone_only_goes_forward() {
    let steps: [(&str, &[&str], bool, bool); 2] =
        [("x", &[], false, false), ("y", &[], false, false)];
    let mut bench = Bench::start(&definition(&steps, 2));
    assert_eq!(
        bench.saga.cancel("x".into(), "y".into()),
        Err(Refused::PastPivot)
    );
    bench.answer("x", Err("FAILED_PRECONDITION"));
    assert_eq!(bench.saga.state(), State::Running, "the other one goes on");
    bench.exhaust("y");
    assert_eq!(bench.saga.state(), State::Parked);
    let transitions = bench
        .saga
        .retry("operator".into(), "fixed".into())
        .expect("parked");
    bench.log.extend(transitions);
    bench.advance();
    bench.ok("x");
    bench.ok("y");
    assert_eq!(bench.saga.state(), State::Completed);
}

#[test]
fn a_refused_pivot_turns_back_and_an_unknown_one_does_not() {
    let mut bench = Bench::start(&with_pivot(2));
    bench.ok("a");
    bench.answer("p", Err("FAILED_PRECONDITION"));
    assert_eq!(bench.calls(), ["-a"]);

    let mut bench = Bench::start(&with_pivot(2));
    bench.ok("a");
    assert_eq!(
        bench.saga.cancel("x".into(), "y".into()),
        Err(Refused::PastPivot),
        "it may be done any moment"
    );
    bench.exhaust("p");
    assert_eq!(bench.saga.state(), State::Parked);
    assert_eq!(
        bench.saga.cancel("x".into(), "y".into()),
        Err(Refused::PastPivot),
        "it may have been done"
    );
}

#[test]
fn a_pivot_that_is_refused_after_an_unknown_attempt_is_asked_again_under_a_newer_epoch() {
    for attempts in [2, 3] {
        let mut bench = Bench::start(&with_pivot(attempts));
        bench.ok("a");
        bench.answer("p", Err("DEADLINE_EXCEEDED"));
        bench.sleep();
        bench.answer("p", Err("FAILED_PRECONDITION"));
        assert_eq!(
            bench.saga.state(),
            State::Running,
            "the first may still act"
        );
        assert!(bench.saga.needs_new_epoch() && bench.calls().is_empty());
        assert_eq!(
            bench.saga.cancel("x".into(), "y".into()),
            Err(Refused::PastPivot),
            "it may be done any moment"
        );
        bench.crash();
        assert_eq!(bench.calls(), ["p"], "whatever its policy says");
        bench.answer("p", Err("FAILED_PRECONDITION"));
        assert_eq!(
            bench.calls(),
            ["-a"],
            "older attempts are refused from now on"
        );
    }
}

#[test]
fn a_pivot_in_doubt_that_is_done_after_all_goes_forward() {
    let mut bench = Bench::start(&with_pivot(3));
    bench.ok("a");
    bench.answer("p", Err("UNAVAILABLE"));
    bench.sleep();
    bench.answer("p", Err("NOT_FOUND"));
    bench.crash();
    // Its outcome is unknown once more.
    bench.answer("p", Err("UNAVAILABLE"));
    assert_eq!(bench.saga.state(), State::Parked, "its policy is used up");
    bench.crash();
    let transitions = bench
        .saga
        .retry("operator".into(), "reachable again".into())
        .expect("parked");
    bench.log.extend(transitions);
    bench.advance();
    bench.ok("p");
    assert_eq!(bench.calls(), ["x", "y"]);
}

#[test]
fn a_pivot_that_can_be_undone_needs_no_newer_epoch() {
    let steps: [(&str, &[&str], bool, bool); 2] =
        [("a", &[], true, false), ("p", &["a"], true, true)];
    let mut bench = Bench::start(&definition(&steps, 3));
    bench.ok("a");
    bench.answer("p", Err("UNAVAILABLE"));
    bench.sleep();
    bench.answer("p", Err("NOT_FOUND"));
    assert_eq!(bench.calls(), ["-p"], "which leaves a mark");
}

#[test]
fn what_no_retry_helps_parks_at_once() {
    for code in ["UNAUTHENTICATED", "UNIMPLEMENTED"] {
        let mut bench = Bench::start(&chain(10));
        bench.ok("a");
        bench.answer("b", Err(code));
        assert_eq!(bench.saga.state(), State::Parked, "{code}");
        let transitions = bench
            .saga
            .cancel("operator".into(), "give up".into())
            .expect("before the pivot");
        bench.log.extend(transitions);
        bench.advance();
        assert_eq!(bench.calls(), ["-a"], "b surely did nothing");
    }
}

#[test]
fn a_compensation_that_fails_parks_while_others_go_on() {
    let steps: [(&str, &[&str], bool, bool); 4] = [
        ("a", &[], true, false),
        ("b", &["a"], true, false),
        ("c", &["a"], true, false),
        ("d", &["b", "c"], true, false),
    ];
    let mut bench = Bench::start(&definition(&steps, 1));
    bench.ok("a");
    bench.ok("b");
    bench.ok("c");
    bench.answer("d", Err("NOT_FOUND"));
    assert_eq!(bench.calls(), ["-c", "-b"]);
    bench.answer("-b", Err("INTERNAL"));
    assert_eq!(bench.saga.state(), State::Compensating);
    bench.ok("-c");
    assert_eq!(bench.saga.state(), State::Parked, "a waits for b");
    let transitions = bench
        .saga
        .retry("operator".into(), "fixed".into())
        .expect("parked");
    bench.log.extend(transitions);
    bench.advance();
    bench.ok("-b");
    bench.ok("-a");
    assert_eq!(bench.saga.state(), State::Compensated);
}

#[test]
fn a_late_success_after_aborting_began_is_recorded_and_undone() {
    let mut bench = Bench::start(&chain(3));
    bench.ok("a");
    let transitions = bench
        .saga
        .cancel("operator".into(), "no longer wanted".into())
        .expect("before the pivot");
    bench.log.extend(transitions);
    bench.advance();
    assert_eq!(bench.calls(), ["b"], "nothing is undone before b is known");
    bench.ok("b");
    assert_eq!(bench.calls(), ["-b"]);
    assert!(bench.log.iter().any(|t| matches!(
        t,
        Transition::Answered {
            step: 1,
            operation: Operation::Action,
            ..
        }
    )));
    assert_eq!(
        bench.saga.cancel("operator".into(), "again".into()),
        Ok(Vec::new()),
        "once is enough"
    );
}

#[test]
fn the_deadline_turns_a_saga_back_but_not_past_its_pivot() {
    let mut definition = pb::Definition {
        name: "test".into(),
        deadline: Some(prost_types::Duration {
            seconds: 5,
            nanos: 0,
        }),
        ..Default::default()
    };
    definition.steps = ["a", "p"]
        .map(|name| pb::Step {
            name: name.into(),
            call: "caravan.inventory.v1.InventoryService/CommitStock".into(),
            pivot: name == "p",
            ..Default::default()
        })
        .into();
    let definition = compile(&definition);
    let mut bench = Bench::start(&definition);
    assert_eq!(bench.saga.wake_at(), Some(START + 5_000_000));
    bench.answer("a", Err("UNAVAILABLE"));
    bench.now = START + 5_000_000;
    bench.advance();
    assert_eq!(
        bench.saga.state(),
        State::Compensated,
        "a has nothing to undo"
    );
    assert_eq!(
        bench.saga.failure().expect("why").reason,
        "SAGA_DEADLINE_PASSED"
    );

    let mut bench = Bench::start(&definition);
    bench.ok("a");
    assert_eq!(bench.saga.wake_at(), None, "the pivot is under way");
    bench.now = START + Duration::from_secs(60).as_micros() as Micros;
    bench.advance();
    bench.ok("p");
    assert_eq!(bench.saga.state(), State::Completed);
}

#[test]
fn an_expression_that_fails_counts_as_a_refusal() {
    let step = |name: &str, request: &str| pb::Step {
        name: name.into(),
        call: "caravan.inventory.v1.InventoryService/CommitStock".into(),
        request: request.into(),
        compensation: Some(pb::Compensation {
            call: "caravan.inventory.v1.InventoryService/ReleaseStock".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let steps = vec![step("a", "{}"), step("b", "{'order_id': trigger.missing}")];
    let mut bench = Bench::start(&compile(&pb::Definition {
        name: "test".into(),
        steps,
        ..Default::default()
    }));
    bench.ok("a");
    assert_eq!(bench.calls(), ["-a"]);
    assert_eq!(
        bench.saga.failure().expect("why").reason,
        "EXPRESSION_FAILED"
    );
}

#[test]
fn conditions_skip_and_steps_without_a_call_pass() {
    let undo = pb::Compensation {
        call: "caravan.inventory.v1.InventoryService/ReleaseStock".into(),
        ..Default::default()
    };
    let call = "caravan.inventory.v1.InventoryService/CommitStock";
    let steps = vec![
        pb::Step {
            name: "mark".into(),
            compensation: Some(undo.clone()),
            ..Default::default()
        },
        pb::Step {
            name: "no".into(),
            when: "saga.key == 'x'".into(),
            call: call.into(),
            compensation: Some(undo),
            ..Default::default()
        },
        pb::Step {
            name: "yes".into(),
            when: "!has(steps.no)".into(),
            call: call.into(),
            ..Default::default()
        },
    ];
    let mut bench = Bench::start(&compile(&pb::Definition {
        name: "test".into(),
        steps,
        ..Default::default()
    }));
    assert_eq!(bench.calls(), ["yes"]);
    bench.answer("yes", Err("NOT_FOUND"));
    assert_eq!(bench.calls(), ["-mark"], "what was skipped is not undone");
}

#[test]
fn after_a_crash_a_call_under_way_is_made_again_and_not_counted() {
    let mut bench = Bench::start(&chain(2));
    bench.answer("a", Err("UNAVAILABLE"));
    bench.sleep();
    for _ in 0..5 {
        bench.crash();
        assert_eq!(bench.calls(), ["a"]);
    }
    assert_eq!(bench.orders[0].attempt, 7);
    bench.answer("a", Err("UNAVAILABLE"));
    assert_eq!(
        bench.calls(),
        ["-a"],
        "two counted attempts are all there are"
    );
}

#[test]
fn a_crash_while_turning_back_makes_the_outcome_unknown() {
    let mut bench = Bench::start(&chain(3));
    bench.ok("a");
    let transitions = bench
        .saga
        .cancel("operator".into(), "why".into())
        .expect("before the pivot");
    bench.log.extend(transitions);
    bench.crash();
    assert_eq!(bench.calls(), ["-b"], "b may have been done");
}

#[test]
fn an_answer_that_nobody_waits_for_changes_nothing() {
    let mut bench = Bench::start(&chain(3));
    let stale = Outcome {
        step: 0,
        item: None,
        operation: Operation::Action,
        attempt: 9,
        result: Ok(prost::bytes::Bytes::new()),
    };
    assert_eq!(bench.saga.settle(stale, START, 0.0), None);
    let unbegun = Outcome {
        step: 2,
        item: None,
        operation: Operation::Compensation,
        attempt: 1,
        result: Ok(prost::bytes::Bytes::new()),
    };
    assert_eq!(bench.saga.settle(unbegun, START, 0.0), None);
}

#[test]
fn a_participant_that_knows_a_newer_epoch_parks() {
    let mut bench = Bench::start(&chain(3));
    let order = bench.orders.remove(0);
    let refusal = Refusal::new("FAILED_PRECONDITION", "SAGA_EPOCH_STALE", "");
    let outcome = Outcome {
        step: order.step,
        item: None,
        operation: order.operation,
        attempt: order.attempt,
        result: Err(refusal),
    };
    let settled = bench.saga.settle(outcome, START, 0.0);
    assert!(matches!(
        settled,
        Some(Transition::Failed {
            sequel: Sequel::Parked,
            doubtful: false,
            ..
        })
    ));
}

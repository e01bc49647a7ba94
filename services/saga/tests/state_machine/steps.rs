//! Steps one after another: order, attempts, crashes, and answers that nobody waits for.

use saga::domain::{
    outcome::{Outcome, Refusal},
    saga::State,
    transition::{Operation, Sequel, Transition},
};

use crate::bench::{Bench, START, chain, definition};

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

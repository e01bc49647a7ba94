//! Turning back: what is undone, in which order, and what is not.

use contracts::caravan::saga::v1 as pb;
use saga::domain::{
    saga::State,
    transition::{Operation, Transition},
};

use crate::bench::{Bench, chain, compile, definition};

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
fn what_no_retry_helps_parks_at_once() {
    for code in ["UNAUTHENTICATED", "UNIMPLEMENTED"] {
        let mut bench = Bench::start(&chain(10));
        bench.ok("a");
        bench.answer("b", Err(code));
        assert_eq!(bench.saga.state(), State::Parked, "{code}");
        bench.cancel();
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
    bench.retry();
    bench.ok("-b");
    bench.ok("-a");
    assert_eq!(bench.saga.state(), State::Compensated);
}

#[test]
fn a_late_success_after_aborting_began_is_recorded_and_undone() {
    let mut bench = Bench::start(&chain(3));
    bench.ok("a");
    bench.cancel();
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
fn a_crash_while_turning_back_makes_the_outcome_unknown() {
    let mut bench = Bench::start(&chain(3));
    bench.ok("a");
    bench.cancel();
    bench.crash();
    assert_eq!(bench.calls(), ["-b"], "b may have been done");
}

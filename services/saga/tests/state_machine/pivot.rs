//! The pivot: before it a saga turns back, behind it it only goes forward.

use std::time::Duration;

use contracts::caravan::saga::v1 as pb;
use saga::domain::{
    Micros,
    saga::{Progress, Refused, State},
};

use crate::bench::{Bench, START, compile, definition, with_pivot};

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

    bench.retry();
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
    bench.retry();
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
    bench.retry();
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

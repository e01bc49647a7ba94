//! Random graphs, outcomes, crashes and interventions against what must hold of every saga.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use saga::domain::{
    saga::{Progress, State, StepRun},
    transition::{Operation, Transition},
};

use super::{Bench, definition};

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Done, and the answer arrives.
    Done,
    /// Refused.
    Refused,
    /// Done, but the answer is lost.
    Lost,
    /// Never arrives.
    Unavailable,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Of one of the calls under way.
    Answer(usize, Fate),
    Sleep,
    Crash,
    Cancel,
    Retry,
}

/// A participant with the chassis' barrier: the model of what was done.
#[derive(Default)]
struct World {
    done: BTreeSet<usize>,
    undone: BTreeSet<usize>,
    /// Compensated before it was done: never done after.
    barred: BTreeSet<usize>,
    effects: HashMap<(usize, bool), u32>,
}

impl World {
    /// Whether it is answered with success.
    fn act(&mut self, step: usize) -> bool {
        if self.done.contains(&step) {
            return true;
        }
        if self.barred.contains(&step) {
            return false;
        }
        self.done.insert(step);
        *self.effects.entry((step, false)).or_default() += 1;
        true
    }

    fn undo(&mut self, step: usize) {
        if self.undone.contains(&step) || self.barred.contains(&step) {
            return;
        }
        if self.done.contains(&step) {
            self.undone.insert(step);
            *self.effects.entry((step, true)).or_default() += 1;
        } else {
            self.barred.insert(step);
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![6 => Just(Fate::Done), 1 => Just(Fate::Refused), 1 => Just(Fate::Lost), 1 => Just(Fate::Unavailable)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..8_usize, fate()).prop_map(|(call, fate)| Event::Answer(call, fate)),
        4 => Just(Event::Sleep),
        2 => Just(Event::Crash),
        1 => Just(Event::Cancel),
        2 => Just(Event::Retry),
    ]
}

/// Steps by index: which earlier ones each waits for. A pivot, where there is one, stands between all others.
fn graph() -> impl Strategy<Value = (Vec<Vec<usize>>, Option<usize>)> {
    (1..7_usize, any::<u64>(), proptest::option::of(0..7_usize)).prop_map(|(count, bits, pivot)| {
        let pivot = pivot.filter(|pivot| *pivot < count);
        let mut after: Vec<Vec<usize>> = (0..count)
            .map(|step| {
                (0..step)
                    .filter(|earlier| bits >> ((step * 7 + earlier) % 64) & 1 == 1)
                    .collect()
            })
            .collect();
        if let Some(pivot) = pivot {
            after[pivot] = (0..pivot).collect();
            for later in &mut after[pivot + 1..] {
                if !later.contains(&pivot) {
                    later.push(pivot);
                }
            }
        }
        (after, pivot)
    })
}

fn bench(after: &[Vec<usize>], pivot: Option<usize>) -> Bench {
    let names: Vec<String> = (0..after.len()).map(|step| format!("s{step}")).collect();
    let parents: Vec<Vec<&str>> = after
        .iter()
        .map(|parents| {
            parents
                .iter()
                .map(|parent| names[*parent].as_str())
                .collect()
        })
        .collect();
    let steps: Vec<(&str, &[&str], bool, bool)> = names
        .iter()
        .enumerate()
        .map(|(step, name)| {
            let compensated = pivot.is_none_or(|pivot| step < pivot);
            (
                name.as_str(),
                parents[step].as_slice(),
                compensated,
                pivot == Some(step),
            )
        })
        .collect();
    Bench::start(&definition(&steps, 3))
}

fn answer(bench: &mut Bench, world: &mut World, call: usize, fate: Fate) {
    if bench.orders.is_empty() {
        return;
    }
    let order = bench.orders[call % bench.orders.len()].clone();
    let label = bench.label(&order);
    let arrives = matches!(fate, Fate::Done | Fate::Lost);
    let action = order.operation == Operation::Action;
    let accepted = match (arrives, action) {
        (true, true) => world.act(order.step),
        (true, false) => {
            world.undo(order.step);
            true
        }
        (false, _) => false,
    };
    // With a barrier a refusal means that it was never done.
    let refused = matches!(fate, Fate::Refused) && action && !world.done.contains(&order.step);
    let result = match fate {
        Fate::Done if accepted => Ok(()),
        Fate::Done | Fate::Refused if refused || !accepted && arrives => Err("FAILED_PRECONDITION"),
        _ => Err("UNAVAILABLE"),
    };
    bench.answer(&label, result);
}

fn step(bench: &mut Bench, world: &mut World, event: Event) {
    match event {
        Event::Answer(call, fate) => answer(bench, world, call, fate),
        Event::Sleep => bench.sleep(),
        Event::Crash => bench.crash(),
        Event::Cancel => {
            if let Ok(transitions) = bench.saga.cancel("operator".into(), "why".into()) {
                bench.log.extend(transitions);
                bench.advance();
            }
        }
        Event::Retry => {
            if let Ok(transitions) = bench.saga.retry("operator".into(), "why".into()) {
                bench.log.extend(transitions);
                bench.advance();
            }
        }
    }
}

/// There is something to undo, or there may be.
fn left_traces(run: &StepRun) -> bool {
    run.action.progress == Progress::Done || run.action.doubtful
}

/// What holds at every moment.
fn check(bench: &Bench, after: &[Vec<usize>], pivot: Option<usize>) {
    let steps = bench.saga.steps();
    for order in &bench.orders {
        match order.operation {
            Operation::Action => assert!(
                after[order.step]
                    .iter()
                    .all(|parent| steps[*parent].is_settled())
            ),
            Operation::Compensation => {
                for (later, parents) in after.iter().enumerate() {
                    let action = steps[later].action.progress;
                    let touched = left_traces(&steps[later])
                        && bench.saga.definition().steps[later].compensation.is_some();
                    if parents.contains(&order.step) {
                        assert_ne!(action, Progress::Calling, "an answer is awaited");
                        assert!(
                            !touched || steps[later].compensation.progress == Progress::Done,
                            "not yet undone"
                        );
                    }
                }
            }
        }
    }
    if let Some(pivot) = pivot
        && steps[pivot].action.progress == Progress::Done
    {
        assert!(
            !bench
                .log
                .iter()
                .any(|t| matches!(t, Transition::TurnedBack { .. })),
            "turned back past the pivot"
        );
    }
    let idle = bench.orders.is_empty() && bench.saga.wake_at().is_none();
    assert!(
        !idle || bench.saga.state().is_final() || bench.saga.state() == State::Parked,
        "stuck"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_effect_happens_once_or_is_undone(
        (after, pivot) in graph(),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let mut bench = bench(&after, pivot);
        let mut world = World::default();
        for event in events {
            step(&mut bench, &mut world, event);
            check(&bench, &after, pivot);
        }
        // From here on all is well, and an operator looks after it.
        for _ in 0..200 {
            match bench.saga.state() {
                State::Completed | State::Compensated => break,
                State::Parked => step(&mut bench, &mut world, Event::Retry),
                _ if bench.orders.is_empty() => step(&mut bench, &mut world, Event::Sleep),
                _ => step(&mut bench, &mut world, Event::Answer(0, Fate::Done)),
            }
            check(&bench, &after, pivot);
        }
        prop_assert!(world.effects.values().all(|times| *times == 1), "{:?}", world.effects);
        match bench.saga.state() {
            State::Completed => {
                prop_assert_eq!(world.done.len(), after.len());
                prop_assert!(world.undone.is_empty());
            }
            State::Compensated => prop_assert_eq!(&world.done, &world.undone),
            other => prop_assert!(false, "ended {other:?}"),
        }
        // The log alone tells the same.
        let (state, steps) = (bench.saga.state(), bench.saga.steps().to_vec());
        bench.crash();
        prop_assert_eq!(bench.saga.state(), state);
        if state == State::Completed {
            prop_assert_eq!(bench.saga.steps(), steps);
        }
    }
}

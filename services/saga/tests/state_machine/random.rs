//! Random graphs, outcomes, crashes and interventions against what must hold of every saga.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use contracts::caravan::saga::v1 as pb;
use saga::domain::{
    saga::{Order, Progress, State},
    transition::{Operation, Transition},
};

use crate::bench::{Bench, compile, described};

/// A step, or one item of it.
type Unit = (usize, Option<u32>);

/// Items of one step that may be under way at the same time.
const MAX_PARALLEL: i32 = 2;

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
    /// Nobody waits for it any more when it arrives.
    Late,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// Of one of the calls under way.
    Answer(usize, Fate),
    Sleep,
    Crash,
    Cancel,
    Retry,
    /// One of the late calls.
    Arrive(usize),
}

/// A participant with the chassis' barrier: the model of what was done.
#[derive(Default)]
struct World {
    done: BTreeSet<Unit>,
    undone: BTreeSet<Unit>,
    /// Compensated before it was done: never done after.
    barred: BTreeSet<Unit>,
    effects: HashMap<(Unit, bool), u32>,
    /// The newest epoch that arrived.
    epoch: i64,
    /// Calls that are still on their way.
    late: Vec<(Unit, Operation, i64)>,
}

impl World {
    /// What was on its way arrives, and is refused where its epoch is over.
    fn arrive(&mut self, late: usize) {
        if self.late.is_empty() {
            return;
        }
        let (unit, operation, epoch) = self.late.swap_remove(late % self.late.len());
        if epoch < self.epoch {
            return;
        }
        match operation {
            Operation::Action => {
                self.act(unit);
            }
            Operation::Compensation => self.undo(unit),
        }
    }

    /// Whether it is answered with success.
    fn act(&mut self, step: Unit) -> bool {
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

    fn undo(&mut self, step: Unit) {
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
    prop_oneof![6 => Just(Fate::Done), 1 => Just(Fate::Refused), 1 => Just(Fate::Lost), 1 => Just(Fate::Unavailable), 1 => Just(Fate::Late)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..8_usize, fate()).prop_map(|(call, fate)| Event::Answer(call, fate)),
        4 => Just(Event::Sleep),
        2 => Just(Event::Crash),
        1 => Just(Event::Cancel),
        2 => Just(Event::Retry),
        1 => (0..8_usize).prop_map(Event::Arrive),
    ]
}

/// Steps by index: which earlier ones each waits for, and how many items it has where it has some. A pivot, where there
/// is one, stands between all others.
#[derive(Clone, Debug)]
struct Graph {
    after: Vec<Vec<usize>>,
    items: Vec<Option<usize>>,
    pivot: Option<usize>,
}

impl Graph {
    /// How often something is done where the saga completes.
    fn units(&self) -> usize {
        self.items.iter().map(|items| items.unwrap_or(1)).sum()
    }
}

fn graph() -> impl Strategy<Value = Graph> {
    let items = proptest::collection::vec(proptest::option::weighted(0.3, 0..4_usize), 1..7);
    let pivot = proptest::option::of(0..7_usize);
    (items, any::<u64>(), pivot).prop_map(|(mut items, bits, pivot)| {
        let pivot = pivot.filter(|pivot| *pivot < items.len());
        let mut after: Vec<Vec<usize>> = (0..items.len())
            .map(|step| {
                (0..step)
                    .filter(|earlier| bits >> ((step * 7 + earlier) % 64) & 1 == 1)
                    .collect()
            })
            .collect();
        if let Some(pivot) = pivot {
            items[pivot] = None;
            after[pivot] = (0..pivot).collect();
            for later in &mut after[pivot + 1..] {
                if !later.contains(&pivot) {
                    later.push(pivot);
                }
            }
        }
        Graph {
            after,
            items,
            pivot,
        }
    })
}

fn bench(graph: &Graph) -> Bench {
    let Graph {
        after,
        items,
        pivot,
    } = graph;
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
                *pivot == Some(step),
            )
        })
        .collect();
    let mut definition = described(&steps, 3);
    for (step, items) in definition.steps.iter_mut().zip(items) {
        step.for_each = items.map(|items| pb::ForEach {
            items: format!("{:?}", (0..items).collect::<Vec<_>>()),
            max_parallel: MAX_PARALLEL,
            ..Default::default()
        });
    }
    Bench::start(&compile(&definition))
}

fn unit(order: &Order) -> Unit {
    (order.step, order.item)
}

fn answer(bench: &mut Bench, world: &mut World, call: usize, fate: Fate) {
    if bench.orders.is_empty() {
        return;
    }
    let order = bench.orders[call % bench.orders.len()].clone();
    let label = bench.label(&order);
    let arrives = matches!(fate, Fate::Done | Fate::Lost);
    let action = order.operation == Operation::Action;
    let unit = unit(&order);
    if arrives || matches!(fate, Fate::Refused) {
        world.epoch = world.epoch.max(bench.epoch);
    }
    if matches!(fate, Fate::Late) {
        world.late.push((unit, order.operation, bench.epoch));
    }
    let accepted = match (arrives, action) {
        (true, true) => world.act(unit),
        (true, false) => {
            world.undo(unit);
            true
        }
        (false, _) => false,
    };
    // With a barrier a refusal means that it was never done.
    let refused = matches!(fate, Fate::Refused) && action && !world.done.contains(&unit);
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
        Event::Arrive(late) => world.arrive(late),
        Event::Retry => {
            if bench.saga.state() == State::Parked {
                // Whoever goes on with it has claimed it.
                bench.crash();
            }
            if let Ok(transitions) = bench.saga.retry("operator".into(), "why".into()) {
                bench.log.extend(transitions);
                bench.advance();
            }
        }
    }
}

/// What holds at every moment.
fn check(bench: &Bench, graph: &Graph) {
    let steps = bench.saga.steps();
    for order in &bench.orders {
        match order.operation {
            Operation::Action => assert!(
                graph.after[order.step]
                    .iter()
                    .all(|parent| steps[*parent].is_settled())
            ),
            Operation::Compensation => {
                let waiting = |(_, parents): &(usize, &Vec<usize>)| parents.contains(&order.step);
                for (later, _) in graph.after.iter().enumerate().filter(waiting) {
                    let undoable = bench.saga.definition().steps[later].compensation.is_some();
                    for unit in steps[later].units() {
                        assert_ne!(
                            unit.action.progress,
                            Progress::Calling,
                            "an answer is awaited"
                        );
                        assert!(
                            !(undoable && unit.left_traces())
                                || unit.compensation.progress == Progress::Done,
                            "not yet undone"
                        );
                    }
                }
            }
        }
    }
    let units: Vec<_> = bench.orders.iter().map(unit).collect();
    let unique: BTreeSet<_> = units.iter().collect();
    assert_eq!(unique.len(), units.len(), "called twice at a time");
    for order in bench.orders.iter().filter(|order| order.item.is_some()) {
        let same = |other: &&Order| other.step == order.step;
        let at_a_time = bench.orders.iter().filter(same).count();
        assert!(
            at_a_time <= MAX_PARALLEL as usize,
            "too many items at a time"
        );
    }
    if let Some(pivot) = graph.pivot
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
    let idle =
        bench.orders.is_empty() && bench.saga.wake_at().is_none() && !bench.saga.needs_new_epoch();
    assert!(
        !idle || bench.saga.state().is_final() || bench.saga.state() == State::Parked,
        "stuck"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_effect_happens_once_or_is_undone(
        graph in graph(),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let mut bench = bench(&graph);
        let mut world = World::default();
        for event in events {
            step(&mut bench, &mut world, event);
            check(&bench, &graph);
        }
        // From here on all is well, and an operator looks after it.
        for _ in 0..200 {
            match bench.saga.state() {
                State::Completed | State::Compensated => break,
                State::Parked => step(&mut bench, &mut world, Event::Retry),
                _ if bench.orders.is_empty() => step(&mut bench, &mut world, Event::Sleep),
                _ => step(&mut bench, &mut world, Event::Answer(0, Fate::Done)),
            }
            check(&bench, &graph);
        }
        while !world.late.is_empty() {
            world.arrive(0);
        }
        prop_assert!(world.effects.values().all(|times| *times == 1), "{:?}", world.effects);
        match bench.saga.state() {
            State::Completed => {
                prop_assert_eq!(world.done.len(), graph.units());
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

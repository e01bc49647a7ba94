//! What a saga does next.

use prost::bytes::Bytes;

use super::{Progress, Run, Saga, State, StepRun, Unit};
use crate::domain::{
    Micros,
    transition::{Failure, Operation, Transition},
};

/// `failure.reason` where the deadline passed.
const DEADLINE_PASSED: &str = "SAGA_DEADLINE_PASSED";

/// A call to make once its intent is durable.
#[derive(Clone, Debug)]
pub struct Order {
    /// The step.
    pub step: usize,
    /// Which of its items, where it has some.
    pub item: Option<u32>,
    /// Doing or undoing.
    pub operation: Operation,
    /// From 1, per operation.
    pub attempt: u32,
    /// The encoded request.
    pub request: Bytes,
}

/// What follows now: records that have to be durable, then calls.
#[derive(Debug, Default)]
pub struct Advance {
    /// In order; already applied.
    pub transitions: Vec<Transition>,
    /// To be sent once the transitions are durable.
    pub orders: Vec<Order>,
}

impl Saga {
    /// Goes as far as it can without an answer: settles what is decided and begins what may begin.
    pub fn advance(&mut self, now: Micros) -> Advance {
        let mut advance = Advance::default();
        while let Some(transition) = self.next(now, &mut advance.orders) {
            self.apply(&transition)
                .expect("a saga's own decisions fit its definition");
            advance.transitions.push(transition);
        }
        advance
    }

    /// When it has to be looked at again without an answer; `None` where only an answer, a signal or an operator
    /// brings it on.
    pub fn wake_at(&self) -> Option<Micros> {
        let due = |progress: Progress| match progress {
            Progress::Due { at } => Some(at),
            Progress::Awaiting { until } => until,
            _ => None,
        };
        let waits = self
            .units()
            .flat_map(|unit| [due(unit.action.progress), due(unit.compensation.progress)]);
        waits.flatten().chain(self.deadline_at()).min()
    }

    /// Whether it goes on under a newer epoch only.
    pub fn needs_new_epoch(&self) -> bool {
        self.units()
            .any(|unit| unit.action.progress == Progress::Disputed)
    }

    /// Whether a call is under way.
    pub fn awaits_answers(&self) -> bool {
        let calling = |run: &Run| run.progress == Progress::Calling;
        self.units()
            .any(|unit| calling(unit.action) || calling(unit.compensation))
    }

    fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        self.steps.iter().flat_map(StepRun::units)
    }

    pub(super) fn unit(
        &self,
        step: usize,
        item: Option<u32>,
        operation: Operation,
    ) -> Option<&Run> {
        let mut units = self.steps.get(step)?.units();
        let unit = units.find(|unit| unit.item == item)?;
        Some(match operation {
            Operation::Action => unit.action,
            Operation::Compensation => unit.compensation,
        })
    }

    /// Before the pivot everything can be undone; once the pivot may have been done, nothing may. Where there is
    /// nothing to undo with, turning back would only leave steps undone.
    pub(super) fn may_turn_back(&self) -> bool {
        let Some(pivot) = self.definition.pivot else {
            return !self.state.is_final() && !self.definition.only_forward();
        };
        let undoable = self.definition.steps[pivot].compensation.is_some();
        self.steps[pivot]
            .units()
            .all(|unit| match unit.action.progress {
                Progress::Done | Progress::Skipped => false,
                Progress::Calling => undoable,
                Progress::Idle | Progress::Refused | Progress::Awaiting { .. } => true,
                Progress::Due { .. }
                | Progress::Disputed
                | Progress::Unknown
                | Progress::Parked
                | Progress::Fanned => undoable || !unit.action.doubtful,
            })
    }

    /// The deadline, as long as it can still turn the saga back.
    fn deadline_at(&self) -> Option<Micros> {
        let deadline = self.definition.deadline?;
        if self.state != State::Running || !self.may_turn_back() {
            return None;
        }
        let wait = Micros::try_from(deadline.as_micros()).unwrap_or(Micros::MAX);
        Some(self.created_at.saturating_add(wait))
    }

    /// The next thing to record; adds the call that belongs to it.
    fn next(&mut self, now: Micros, orders: &mut Vec<Order>) -> Option<Transition> {
        match self.state {
            State::Running => self.next_forward(now, orders),
            State::Compensating => self.next_back(now, orders),
            State::Completed | State::Compensated | State::Parked => None,
        }
    }

    fn next_forward(&mut self, now: Micros, orders: &mut Vec<Order>) -> Option<Transition> {
        if let Some(failure) = self.reason_to_turn_back(now) {
            return Some(Transition::TurnedBack { failure });
        }
        for position in 0..self.definition.order.len() {
            let step = self.definition.order[position];
            let transition = match self.steps[step].action.progress {
                Progress::Idle if self.may_begin(step) => Some(self.begin(step, now, orders)),
                Progress::Due { at } if at <= now => {
                    Some(self.call((step, None), Operation::Action, now, orders))
                }
                Progress::Awaiting { until } => self.awaited(step, until, now),
                Progress::Fanned => {
                    let item = self.next_item(step, Operation::Action, now);
                    item.map(|item| self.call((step, item), Operation::Action, now, orders))
                }
                _ => None,
            };
            if transition.is_some() {
                return transition;
            }
        }
        if self.steps.iter().all(StepRun::is_settled) {
            return Some(Transition::Completed);
        }
        self.stop(|unit| unit.action)
    }

    fn awaited(&self, step: usize, until: Option<Micros>, now: Micros) -> Option<Transition> {
        let wait = self.definition.steps[step].wait_for.as_ref()?;
        self.received(step, wait).or_else(|| {
            until
                .filter(|until| *until <= now)
                .map(|_| self.not_received(step, wait))
        })
    }

    /// The unit of a step to be called next, where one may be.
    fn next_item(&self, step: usize, operation: Operation, now: Micros) -> Option<Option<u32>> {
        let of = |unit: &Unit<'_>| match operation {
            Operation::Action => unit.action.progress,
            Operation::Compensation => unit.compensation.progress,
        };
        let run = &self.steps[step];
        let due = run
            .units()
            .find(|unit| matches!(of(unit), Progress::Due { at } if at <= now));
        if let Some(unit) = due {
            return Some(unit.item);
        }
        let each = self.definition.steps[step].for_each.as_ref();
        let places = each.map_or(1, |each| each.max_parallel);
        // Also while the saga turns back: what is being done still has its place.
        let at_work = |unit: &Unit<'_>| {
            [unit.action, unit.compensation]
                .iter()
                .any(|run| run.progress.is_at_work())
        };
        if run.units().filter(at_work).count() >= places {
            return None;
        }
        let idle = run.units().find(|unit| {
            of(unit) == Progress::Idle && (operation == Operation::Action || unit.is_to_undo())
        });
        idle.map(|unit| unit.item)
    }

    fn reason_to_turn_back(&self, now: Micros) -> Option<Failure> {
        if !self.may_turn_back() {
            return None;
        }
        let failed = self
            .steps
            .iter()
            .flat_map(StepRun::units)
            .find(|unit| matches!(unit.action.progress, Progress::Refused | Progress::Unknown));
        if let Some(unit) = failed {
            return unit.action.failure.clone();
        }
        self.deadline_at().filter(|at| *at <= now).map(|_| Failure {
            code: "DEADLINE_EXCEEDED".into(),
            reason: DEADLINE_PASSED.into(),
            message: "the saga took longer than its deadline".into(),
            ..Failure::default()
        })
    }

    fn next_back(&mut self, now: Micros, orders: &mut Vec<Order>) -> Option<Transition> {
        let undone = self.undone();
        for position in (0..self.definition.order.len()).rev() {
            let step = self.definition.order[position];
            let definition = &self.definition.steps[step];
            if definition.compensation.is_none() || undone[step] {
                continue;
            }
            let ready = definition.before.iter().all(|later| undone[*later]);
            if ready && let Some(item) = self.next_item(step, Operation::Compensation, now) {
                return Some(self.call((step, item), Operation::Compensation, now, orders));
            }
        }
        if undone.iter().all(|undone| *undone) {
            return Some(Transition::Compensated);
        }
        self.stop(|unit| unit.compensation)
    }

    /// By step: nothing is left of it, nor of any step after it.
    fn undone(&self) -> Vec<bool> {
        let mut undone = vec![false; self.steps.len()];
        for &step in self.definition.order.iter().rev() {
            let undoable = self.definition.steps[step].compensation.is_some();
            undone[step] = self.steps[step]
                .units()
                .all(|unit| unit.is_undone(undoable))
                && self.definition.steps[step]
                    .before
                    .iter()
                    .all(|later| undone[*later]);
        }
        undone
    }

    /// Parks once nothing is under way and nothing is due, but something is left.
    fn stop<'a>(&'a self, of: impl Fn(Unit<'a>) -> &'a Run) -> Option<Transition> {
        let waits = |run: &Run| {
            run.progress.is_at_work() || matches!(run.progress, Progress::Awaiting { .. })
        };
        if self
            .units()
            .any(|unit| waits(unit.action) || waits(unit.compensation))
        {
            return None;
        }
        let parked = self
            .units()
            .map(of)
            .find(|run| run.progress == Progress::Parked)?;
        Some(Transition::Parked {
            failure: parked.failure.clone().unwrap_or_default(),
        })
    }

    fn may_begin(&self, step: usize) -> bool {
        self.definition.steps[step]
            .after
            .iter()
            .all(|before| self.steps[*before].is_settled())
    }
}

//! What a saga does next.

use prost::Message as _;
use prost::bytes::Bytes;

use super::{Progress, Saga, State};
use crate::{
    domain::{
        Micros,
        transition::{Failure, Operation, Sequel, Transition},
    },
    expression::{Expression, Fault, to_message},
};

/// `failure.reason` where an expression could not be evaluated.
const EXPRESSION_FAILED: &str = "EXPRESSION_FAILED";
/// `failure.reason` where the deadline passed.
const DEADLINE_PASSED: &str = "SAGA_DEADLINE_PASSED";

/// A call to make once its intent is durable.
#[derive(Clone, Debug)]
pub struct Order {
    /// The step.
    pub step: usize,
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

    /// When it has to be looked at again without an answer; `None` where only an answer or an operator brings it on.
    pub fn wake_at(&self) -> Option<Micros> {
        let due = |progress: Progress| match progress {
            Progress::Due { at } => Some(at),
            _ => None,
        };
        let retries = self
            .steps
            .iter()
            .flat_map(|step| [due(step.action.progress), due(step.compensation.progress)]);
        retries.flatten().chain(self.deadline_at()).min()
    }

    /// Whether a call is under way.
    pub fn awaits_answers(&self) -> bool {
        let calling = |progress| progress == Progress::Calling;
        self.steps
            .iter()
            .any(|step| calling(step.action.progress) || calling(step.compensation.progress))
    }

    /// Before the pivot everything can be undone; once the pivot may have been done, nothing may. Where there is
    /// nothing to undo with, turning back would only leave steps undone.
    pub(super) fn may_turn_back(&self) -> bool {
        let Some(pivot) = self.definition.pivot else {
            return !self.state.is_final() && !self.definition.only_forward();
        };
        let action = &self.steps[pivot].action;
        let undoable = self.definition.steps[pivot].compensation.is_some();
        match action.progress {
            Progress::Done | Progress::Skipped => false,
            Progress::Calling => undoable,
            Progress::Idle | Progress::Refused => true,
            Progress::Due { .. } | Progress::Unknown | Progress::Parked => {
                undoable || !action.doubtful
            }
        }
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
            match self.steps[step].action.progress {
                Progress::Idle if self.may_begin(step) => return Some(self.begin(step, orders)),
                Progress::Due { at } if at <= now => {
                    return Some(self.call(step, Operation::Action, orders));
                }
                _ => {}
            }
        }
        if self.steps.iter().all(super::StepRun::is_settled) {
            return Some(Transition::Completed);
        }
        self.stop(|step| &step.action)
    }

    fn reason_to_turn_back(&self, now: Micros) -> Option<Failure> {
        if !self.may_turn_back() {
            return None;
        }
        let failed = self
            .steps
            .iter()
            .find(|step| matches!(step.action.progress, Progress::Refused | Progress::Unknown));
        if let Some(step) = failed {
            return step.action.failure.clone();
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
            let ready = self.definition.steps[step]
                .before
                .iter()
                .all(|later| undone[*later]);
            match self.steps[step].compensation.progress {
                Progress::Idle if ready && self.is_to_undo(step) => {
                    return Some(self.call(step, Operation::Compensation, orders));
                }
                Progress::Due { at } if at <= now => {
                    return Some(self.call(step, Operation::Compensation, orders));
                }
                _ => {}
            }
        }
        if undone.iter().all(|undone| *undone) {
            return Some(Transition::Compensated);
        }
        self.stop(|step| &step.compensation)
    }

    /// By step: nothing is left of it, nor of any step after it.
    fn undone(&self) -> Vec<bool> {
        let mut undone = vec![false; self.steps.len()];
        for &step in self.definition.order.iter().rev() {
            let run = &self.steps[step];
            let itself = run.action.progress != Progress::Calling
                && (!self.is_to_undo(step) || run.compensation.progress == Progress::Done);
            undone[step] = itself
                && self.definition.steps[step]
                    .before
                    .iter()
                    .all(|later| undone[*later]);
        }
        undone
    }

    /// Whether a step needs its compensation. One whose call is under way is not known yet.
    fn is_to_undo(&self, step: usize) -> bool {
        let run = &self.steps[step];
        self.definition.steps[step].compensation.is_some()
            && run.action.progress != Progress::Calling
            && run.left_traces()
    }

    /// Parks once nothing is under way and nothing is due, but something is left.
    fn stop(&self, of: impl Fn(&super::StepRun) -> &super::Run) -> Option<Transition> {
        let waits = |progress| matches!(progress, Progress::Calling | Progress::Due { .. });
        if self
            .steps
            .iter()
            .any(|step| waits(step.action.progress) || waits(step.compensation.progress))
        {
            return None;
        }
        let parked = self
            .steps
            .iter()
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

    fn begin(&self, step: usize, orders: &mut Vec<Order>) -> Transition {
        if let Some(when) = &self.definition.steps[step].when {
            match self.truth(when) {
                Ok(true) => {}
                Ok(false) => return Transition::Skipped { step },
                Err(fault) => return self.no_request(step, Operation::Action, &fault),
            }
        }
        if self.definition.steps[step].call.is_none() {
            return Transition::Passed { step };
        }
        self.call(step, Operation::Action, orders)
    }

    fn truth(&self, when: &Expression) -> Result<bool, Fault> {
        match when.evaluate(&self.variables)? {
            cel::Value::Bool(truth) => Ok(truth),
            _ => Err("the condition is no bool".to_owned().into()),
        }
    }

    fn call(&self, step: usize, operation: Operation, orders: &mut Vec<Order>) -> Transition {
        let definition = &self.definition.steps[step];
        let (call, run) = match operation {
            Operation::Action => (&definition.call, &self.steps[step].action),
            Operation::Compensation => (&definition.compensation, &self.steps[step].compensation),
        };
        let call = call.as_ref().expect("only what has a call is called");
        let request = call
            .request
            .evaluate(&self.variables)
            .and_then(|value| to_message(&value, &call.input));
        match request {
            Ok(request) => {
                let attempt = run.attempts + 1;
                orders.push(Order {
                    step,
                    operation,
                    attempt,
                    request: request.encode_to_vec().into(),
                });
                Transition::Called {
                    step,
                    operation,
                    attempt,
                }
            }
            Err(fault) => self.no_request(step, operation, &fault),
        }
    }

    /// An expression failed on the values of this saga: as if the participant had refused them.
    fn no_request(&self, step: usize, operation: Operation, fault: &Fault) -> Transition {
        let definition = &self.definition.steps[step];
        let failure = Failure {
            step: definition.name.clone(),
            code: "INVALID_ARGUMENT".into(),
            reason: EXPRESSION_FAILED.into(),
            message: fault.to_string(),
        };
        let forward = operation == Operation::Action && !definition.past_pivot;
        let sequel = if forward {
            Sequel::Refused
        } else {
            Sequel::Parked
        };
        Transition::Failed {
            step,
            operation,
            attempt: 0,
            failure,
            doubtful: false,
            sequel,
        }
    }
}

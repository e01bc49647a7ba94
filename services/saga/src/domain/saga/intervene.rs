//! What operators may do to a saga, and signals.

use std::sync::Arc;

use prost::bytes::Bytes;

use super::{Saga, State};
use crate::domain::transition::{Failure, Operation, Transition, Verdict};

/// `failure.reason` where somebody aborted the saga.
const CANCELLED: &str = "SAGA_CANCELLED";
/// Most signals that one saga takes.
pub const MAX_SIGNALS: usize = 100;
/// Largest payload of a signal, in bytes.
pub const MAX_SIGNAL_BYTES: usize = 64 * 1024;

/// Why an intervention is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Retry of a saga that is not parked.
    #[error("the saga is not parked")]
    NotParked,
    /// The saga can no longer change.
    #[error("the saga has ended")]
    Ended,
    /// Abort of a saga whose pivot is done or may be.
    #[error("the saga has passed its pivot, or is passing it: it only goes forward")]
    PastPivot,
    /// The definition has no such step.
    #[error("there is no such step")]
    NoStep,
    /// The step has no such item, or no items yet.
    #[error("the step has no such item")]
    NoItem,
    /// The step is done or skipped, or nothing of it is left to be undone.
    #[error("the step is settled")]
    Settled,
    /// A step whose items are not known yet has no single reply.
    #[error("the step's items are not known yet: skip it, or resolve them one by one later")]
    NotFanned,
    /// A compensation is done or left out; there is no way back from it.
    #[error("a compensation cannot be resolved with a failure")]
    Compensation,
    /// No step waits for a signal of this name.
    #[error("no step waits for this signal")]
    NoSignal,
    /// The same signal id with another name or payload.
    #[error("a signal with this id and another content was sent")]
    SignalDiffers,
    /// The saga holds as many signals as it takes.
    #[error("the saga takes no more signals")]
    TooManySignals,
}

/// A signal that was sent to a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its name.
    pub name: Arc<str>,
    /// Tells it from others of its name.
    pub id: String,
    /// An encoded `google.protobuf.Struct`.
    pub payload: Bytes,
    /// Some step has had it.
    pub taken: bool,
}

impl Saga {
    /// Puts a parked saga to work again.
    ///
    /// # Errors
    /// It is not parked.
    pub fn retry(&mut self, by: String, reason: String) -> Result<Vec<Transition>, Refused> {
        if self.state != State::Parked {
            return Err(Refused::NotParked);
        }
        Ok(self.take(vec![Transition::Retried { by, reason }]))
    }

    /// Aborts a saga before its pivot. One that is turning back already is left alone.
    ///
    /// # Errors
    /// It has completed, or has passed its pivot, or may have.
    pub fn cancel(&mut self, by: String, reason: String) -> Result<Vec<Transition>, Refused> {
        if self.state == State::Compensated || self.turned.is_some() {
            return Ok(Vec::new());
        }
        if self.state == State::Completed {
            return Err(Refused::Ended);
        }
        if !self.may_turn_back() {
            return Err(Refused::PastPivot);
        }
        let failure = Failure {
            code: "CANCELLED".into(),
            reason: CANCELLED.into(),
            message: reason.clone(),
            ..Failure::default()
        };
        Ok(self.take(vec![
            Transition::Cancelled { by, reason },
            Transition::TurnedBack { failure },
        ]))
    }

    /// Settles a step, or one item of it, by an operator's word. Of a saga that turned back, the compensation is meant.
    ///
    /// # Errors
    /// There is no such step or item, it is settled, or the verdict makes no sense for it.
    pub fn overridden(
        &mut self,
        (by, reason): (String, String),
        (step, item): (&str, Option<u32>),
        verdict: Verdict,
    ) -> Result<Vec<Transition>, Refused> {
        if self.state.is_final() {
            return Err(Refused::Ended);
        }
        let step = self.definition.step(step).ok_or(Refused::NoStep)?;
        let turned = self.turned.is_some();
        let definition = &self.definition.steps[step];
        let mut units = self.steps[step]
            .units()
            .filter(|unit| item.is_none() || unit.item == item)
            .peekable();
        units.peek().ok_or(Refused::NoItem)?;
        let open = units.any(|unit| {
            if turned {
                !unit.is_undone(definition.compensation.is_some())
            } else {
                !unit.action.progress.is_settled()
            }
        });
        if !open {
            return Err(Refused::Settled);
        }
        drop(units);
        let known = self.steps[step].items.is_some() || definition.for_each.is_none();
        let verdict = match verdict {
            Verdict::Failed(_) if turned => return Err(Refused::Compensation),
            Verdict::Failed(_) if definition.past_pivot => return Err(Refused::PastPivot),
            Verdict::Failed(failure) => Verdict::Failed(Failure {
                step: definition.name.clone(),
                ..failure
            }),
            Verdict::Done(_) if !known => return Err(Refused::NotFanned),
            Verdict::Done(reply) => {
                Verdict::Done(reply.filter(|_| !turned && definition.reply_is_read))
            }
            Verdict::Skipped => Verdict::Skipped,
        };
        let operation = if turned {
            Operation::Compensation
        } else {
            Operation::Action
        };
        Ok(self.take(vec![Transition::Overridden {
            by,
            reason,
            step,
            item,
            operation,
            verdict,
        }]))
    }

    /// Keeps a signal until a step takes it. The same one again changes nothing.
    ///
    /// # Errors
    /// No step waits for such a signal, the saga has ended or holds too many, the id is another signal's.
    pub fn signal(
        &mut self,
        (by, reason): (String, String),
        (name, id): (&str, String),
        payload: Bytes,
    ) -> Result<Vec<Transition>, Refused> {
        let waits = self
            .definition
            .steps
            .iter()
            .find_map(|step| step.wait_for.as_ref().filter(|wait| &*wait.signal == name));
        let signal = Arc::clone(&waits.ok_or(Refused::NoSignal)?.signal);
        if let Some(known) = self.signals.iter().find(|known| known.id == id) {
            return if known.name == signal && known.payload == payload {
                Ok(Vec::new())
            } else {
                Err(Refused::SignalDiffers)
            };
        }
        if self.state.is_final() {
            return Err(Refused::Ended);
        }
        if self.signals.len() >= MAX_SIGNALS {
            return Err(Refused::TooManySignals);
        }
        Ok(self.take(vec![Transition::Signalled {
            by,
            reason,
            signal,
            id,
            payload,
        }]))
    }

    fn take(&mut self, transitions: Vec<Transition>) -> Vec<Transition> {
        for transition in &transitions {
            self.apply(transition)
                .expect("a saga's own decisions fit its definition");
        }
        transitions
    }
}

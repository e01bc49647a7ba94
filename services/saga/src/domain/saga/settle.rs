//! What an answer does to a saga.

use super::{Progress, Saga};
use crate::domain::{
    Micros,
    outcome::{Class, Outcome, Refusal},
    transition::{Failure, Operation, Sequel, Transition},
};

impl Saga {
    /// Records the end of a call. `chance` from 0 to 1 spreads retries. An answer that nobody waits for any more
    /// changes nothing.
    ///
    /// # Errors
    /// A success whose reply is none: it is recorded as a failure instead, so this does not happen for decided outcomes.
    pub fn settle(&mut self, outcome: Outcome, now: Micros, chance: f64) -> Option<Transition> {
        let run = self.run(outcome.step, outcome.operation).ok()?;
        if run.progress != Progress::Calling || run.attempts != outcome.attempt {
            return None;
        }
        let Outcome {
            step,
            operation,
            attempt,
            result,
        } = outcome;
        let refusal = match result {
            Ok(reply) => {
                let kept =
                    operation == Operation::Action && self.definition.steps[step].reply_is_read;
                let answered = Transition::Answered {
                    step,
                    operation,
                    attempt,
                    reply: kept.then_some(reply),
                };
                match self.apply(&answered) {
                    Ok(()) => return Some(answered),
                    // It answers something else than its contract says: nobody here can help that.
                    Err(text) => Refusal {
                        class: Class::Stop,
                        ..Refusal::new("DATA_LOSS", "REPLY_UNREADABLE", text)
                    },
                }
            }
            Err(refusal) => refusal,
        };
        let failed = self.failed((step, operation, attempt), refusal, now, chance);
        self.apply(&failed)
            .expect("a saga's own decisions fit its definition");
        Some(failed)
    }

    fn failed(
        &mut self,
        (step, operation, attempt): (usize, Operation, u32),
        refusal: Refusal,
        now: Micros,
        chance: f64,
    ) -> Transition {
        let doubtful = match refusal.class {
            Class::Transient => true,
            Class::Refused => false,
            // It did answer, so it may have acted.
            Class::Stop => refusal.code == "DATA_LOSS",
        };
        let sequel = self.sequel(step, operation, refusal.class, now, chance);
        let failure = Failure {
            step: self.definition.steps[step].name.clone(),
            code: refusal.code,
            reason: refusal.reason,
            message: refusal.message,
        };
        Transition::Failed {
            step,
            operation,
            attempt,
            failure,
            doubtful,
            sequel,
        }
    }

    fn sequel(
        &self,
        step: usize,
        operation: Operation,
        class: Class,
        now: Micros,
        chance: f64,
    ) -> Sequel {
        let definition = &self.definition.steps[step];
        let (call, run) = match operation {
            Operation::Action => (&definition.call, &self.steps[step].action),
            Operation::Compensation => (&definition.compensation, &self.steps[step].compensation),
        };
        let forward = operation == Operation::Action;
        if forward && self.turned.is_some() {
            return if class == Class::Refused {
                Sequel::Refused
            } else {
                Sequel::GivenUp
            };
        }
        let undoable = forward && !definition.past_pivot;
        match class {
            Class::Stop => Sequel::Parked,
            Class::Refused if undoable => Sequel::Refused,
            Class::Refused => Sequel::Parked,
            Class::Transient => {
                let retry = call.as_ref().map(|call| call.retry).unwrap_or_default();
                if run.counted() < retry.max_attempts {
                    let wait = retry.backoff(run.counted(), chance);
                    let wait = Micros::try_from(wait.as_micros()).unwrap_or(Micros::MAX);
                    return Sequel::Again {
                        at: now.saturating_add(wait),
                    };
                }
                // Whether a pivot was done must be known before anything is undone.
                let is_pivot = self.definition.pivot == Some(step);
                if undoable && !(is_pivot && definition.compensation.is_none()) {
                    Sequel::GivenUp
                } else {
                    Sequel::Parked
                }
            }
        }
    }
}

//! What an answer does to a saga.

use super::{Progress, Run, Saga};
use crate::domain::{
    Micros,
    definition::RetryPolicy,
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
        let run = self
            .run(outcome.step, outcome.item, outcome.operation)
            .ok()?;
        if run.progress != Progress::Calling || run.attempts != outcome.attempt {
            return None;
        }
        let Outcome {
            step,
            item,
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
                    item,
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
        let failed = self.failed((step, item, operation, attempt), refusal, now, chance);
        self.apply(&failed)
            .expect("a saga's own decisions fit its definition");
        Some(failed)
    }

    fn failed(
        &mut self,
        (step, item, operation, attempt): (usize, Option<u32>, Operation, u32),
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
        let sequel = self.sequel((step, item), operation, refusal.class, now, chance);
        let failure = Failure {
            step: self.definition.steps[step].name.clone(),
            code: refusal.code,
            reason: refusal.reason,
            message: refusal.message,
        };
        Transition::Failed {
            step,
            item,
            operation,
            attempt,
            failure,
            doubtful,
            sequel,
        }
    }

    fn sequel(
        &self,
        (step, item): (usize, Option<u32>),
        operation: Operation,
        class: Class,
        now: Micros,
        chance: f64,
    ) -> Sequel {
        let definition = &self.definition.steps[step];
        let call = match operation {
            Operation::Action => &definition.call,
            Operation::Compensation => &definition.compensation,
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
        let run = self.unit(step, item, operation);
        // What was done of it could not be undone: it must be known before anything else is.
        let decides =
            self.definition.pivot == Some(step) && forward && definition.compensation.is_none();
        match class {
            Class::Stop => Sequel::Parked,
            // Participants refuse attempts of an older epoch than one they saw; then this answer is the last word.
            Class::Refused if decides && run.is_some_and(|run| run.stray) => {
                Sequel::Disputed { at: now }
            }
            Class::Refused if undoable => Sequel::Refused,
            Class::Refused => Sequel::Parked,
            Class::Transient => {
                let retry = call.as_ref().map(|call| call.retry).unwrap_or_default();
                if let Some(at) = run.and_then(|run| again(&retry, run, now, chance)) {
                    return Sequel::Again { at };
                }
                if undoable && !decides {
                    Sequel::GivenUp
                } else {
                    Sequel::Parked
                }
            }
        }
    }
}

/// When the next attempt is due, where the policy allows one.
fn again(retry: &RetryPolicy, run: &Run, now: Micros, chance: f64) -> Option<Micros> {
    let micros =
        |time: std::time::Duration| Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX);
    let at = now.saturating_add(micros(retry.backoff(run.counted(), chance)));
    let end = retry.total_time.zip(run.since);
    let in_time = end.is_none_or(|(total, since)| at <= since.saturating_add(micros(total)));
    (run.counted() < retry.max_attempts && in_time).then_some(at)
}

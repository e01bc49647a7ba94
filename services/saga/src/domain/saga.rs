//! One saga: what its log says, and what it does next.

use std::{collections::HashMap, sync::Arc};

use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use uuid::Uuid;

use super::{
    Micros,
    definition::Definition,
    transition::{Failure, Operation, Sequel, Transition},
};
use crate::expression::{Variables, from_message};

mod advance;
mod intervene;
mod run;
mod settle;

pub use advance::{Advance, Order};
pub use run::{Progress, Run, StepRun};

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Steps go forward.
    Running,
    /// Steps are being undone.
    Compensating,
    /// All steps are done.
    Completed,
    /// All that was done is undone.
    Compensated,
    /// It cannot go on by itself.
    Parked,
}

impl State {
    /// Whether nothing can happen to it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated)
    }
}

/// Why an intervention is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Retry of a saga that is not parked.
    #[error("the saga is not parked")]
    NotParked,
    /// Abort of a saga that has ended.
    #[error("the saga has ended")]
    Ended,
    /// Abort of a saga whose pivot is done or may be.
    #[error("the saga has passed its pivot, or is passing it: it only goes forward")]
    PastPivot,
}

/// One saga, as its log says. Decisions return transitions; they are applied only here.
#[derive(Debug)]
pub struct Saga {
    definition: Arc<Definition>,
    id: Uuid,
    key: String,
    created_at: Micros,
    state: State,
    steps: Vec<StepRun>,
    /// Why it turned back.
    turned: Option<Failure>,
    /// Why it stopped.
    parked: Option<Failure>,
    variables: Variables,
}

impl Saga {
    /// A saga at its start. `input` is what expressions see as `trigger`.
    pub fn start(
        definition: Arc<Definition>,
        id: Uuid,
        key: String,
        input: &DynamicMessage,
        now: Micros,
    ) -> Self {
        let texts = |texts: [(&str, &str); 2]| -> cel::Value {
            HashMap::from(texts.map(|(name, text)| (name.to_owned(), text.to_owned()))).into()
        };
        let id_text = id.to_string();
        let variables = Variables {
            named: HashMap::from([
                ("trigger", from_message(input)),
                ("saga", texts([("id", &id_text), ("key", &key)])),
            ]),
            replies: HashMap::new(),
        };
        let steps = vec![StepRun::default(); definition.steps.len()];
        Self {
            definition,
            id,
            key,
            created_at: now,
            state: State::Running,
            steps,
            turned: None,
            parked: None,
            variables,
        }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// What it is about.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What it runs by.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it stopped, else why it turned back.
    pub fn failure(&self) -> Option<&Failure> {
        self.parked.as_ref().or(self.turned.as_ref())
    }

    /// Its steps, in the order of the definition.
    pub fn steps(&self) -> &[StepRun] {
        &self.steps
    }

    /// Replays its log.
    ///
    /// # Errors
    /// A record that does not fit the definition, or a reply that is none.
    pub fn replay<'a>(
        &mut self,
        log: impl IntoIterator<Item = &'a Transition>,
    ) -> Result<(), String> {
        for transition in log {
            self.apply(transition)?;
        }
        // Nobody waits for a call any more that was under way when its orchestrator went: its outcome is unknown.
        for step in &mut self.steps {
            step.action.interrupt(self.turned.is_some());
            step.compensation.interrupt(false);
        }
        Ok(())
    }

    /// Takes one transition over.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn apply(&mut self, transition: &Transition) -> Result<(), String> {
        match transition {
            Transition::Passed { step } => {
                self.run(*step, Operation::Action)?.progress = Progress::Done
            }
            Transition::Skipped { step } => {
                self.run(*step, Operation::Action)?.progress = Progress::Skipped
            }
            Transition::Called {
                step,
                operation,
                attempt,
            } => self.run(*step, *operation)?.called(*attempt),
            Transition::Answered {
                step,
                operation,
                reply,
                ..
            } => {
                self.run(*step, *operation)?.progress = Progress::Done;
                if let (Operation::Action, Some(reply)) = (operation, reply) {
                    self.keep_reply(*step, reply)?;
                }
            }
            Transition::Failed {
                step,
                operation,
                failure,
                doubtful,
                sequel,
                ..
            } => {
                let run = self.run(*step, *operation)?;
                run.doubtful |= doubtful;
                run.failure = Some(failure.clone());
                run.progress = match sequel {
                    Sequel::Again { at } => Progress::Due { at: *at },
                    Sequel::Refused => Progress::Refused,
                    Sequel::GivenUp => Progress::Unknown,
                    Sequel::Parked => Progress::Parked,
                };
            }
            Transition::TurnedBack { failure } => self.turn_back(failure),
            Transition::Cancelled { .. } => {}
            Transition::Retried { .. } => {
                self.state = if self.turned.is_some() {
                    State::Compensating
                } else {
                    State::Running
                };
                self.parked = None;
                for step in &mut self.steps {
                    step.action.retry();
                    step.compensation.retry();
                }
            }
            Transition::Parked { failure } => {
                self.state = State::Parked;
                self.parked = Some(failure.clone());
            }
            Transition::Completed => self.state = State::Completed,
            Transition::Compensated => self.state = State::Compensated,
        }
        Ok(())
    }

    fn turn_back(&mut self, failure: &Failure) {
        self.state = State::Compensating;
        self.parked = None;
        let texts = [
            ("step", failure.step.to_string()),
            ("code", failure.code.clone()),
            ("reason", failure.reason.clone()),
            ("message", failure.message.clone()),
        ];
        let texts = HashMap::from(texts.map(|(name, text)| (name.to_owned(), text)));
        self.variables.named.insert("failure", texts.into());
        self.turned = Some(failure.clone());
        for step in &mut self.steps {
            step.action.abandon();
        }
    }

    fn run(&mut self, step: usize, operation: Operation) -> Result<&mut Run, String> {
        let step = self
            .steps
            .get_mut(step)
            .ok_or_else(|| format!("there is no step {step}"))?;
        Ok(match operation {
            Operation::Action => &mut step.action,
            Operation::Compensation => &mut step.compensation,
        })
    }

    fn keep_reply(&mut self, step: usize, reply: &Bytes) -> Result<(), String> {
        let definition = &self.definition.steps[step];
        let Some(call) = &definition.call else {
            return Err(format!("step {step} has no reply"));
        };
        let reply = decode(&call.output, reply)?;
        self.variables
            .replies
            .insert(Arc::clone(&definition.name), from_message(&reply));
        Ok(())
    }
}

/// Reads the encoded message of a kind.
///
/// # Errors
/// Bytes that are no such message.
pub fn decode(descriptor: &MessageDescriptor, bytes: &Bytes) -> Result<DynamicMessage, String> {
    DynamicMessage::decode(descriptor.clone(), bytes.clone())
        .map_err(|error| format!("no {}: {error}", descriptor.full_name()))
}

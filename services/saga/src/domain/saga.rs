//! One saga: what its log says, and what it does next.

use std::{collections::HashMap, sync::Arc};

use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use uuid::Uuid;

use super::{
    Micros,
    definition::Definition,
    transition::{Failure, Transition},
};
use crate::expression::{Variables, from_message};

mod advance;
mod apply;
mod begin;
mod intervene;
mod items;
mod run;
mod settle;

pub use advance::{Advance, Order};
pub use intervene::{MAX_SIGNAL_BYTES, MAX_SIGNALS, Refused, Signal};
pub use items::{blank as blank_items, count as item_count};
pub use run::{ItemRun, Progress, Run, StepRun, Unit};

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
    /// By step that was fanned out: what it is done for.
    items: HashMap<usize, Vec<cel::Value>>,
    /// By step that was fanned out and item: what came back, as far as an expression reads it.
    item_replies: HashMap<usize, HashMap<u32, cel::Value>>,
    /// In the order in which they were sent.
    signals: Vec<Signal>,
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
            items: HashMap::new(),
            item_replies: HashMap::new(),
            signals: Vec::new(),
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

    /// When it began.
    pub fn created_at(&self) -> Micros {
        self.created_at
    }

    /// Names of the steps that are under way, wait for a signal, or hold it up.
    pub fn current_steps(&self) -> impl Iterator<Item = &str> {
        let stands = |progress: Progress| {
            progress.is_at_work()
                || matches!(
                    progress,
                    Progress::Awaiting { .. } | Progress::Fanned | Progress::Parked
                )
        };
        let over = self.state.is_final();
        let turned = self.turned.is_some();
        let steps = self.definition.steps.iter().zip(&self.steps);
        steps
            .filter(move |(_, run)| {
                !over
                    && run.units().any(|unit| {
                        let action = unit.action.progress;
                        (stands(action) && (!turned || action == Progress::Calling))
                            || stands(unit.compensation.progress)
                    })
            })
            .map(|(step, _)| &*step.name)
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
        let turned_back = self.turned.is_some();
        for (action, compensation) in self.steps.iter_mut().flat_map(StepRun::runs_mut) {
            action.interrupt(turned_back);
            compensation.interrupt(false);
        }
        Ok(())
    }
}

/// Below the id of every saga that began at this time or later: ids begin with their time in milliseconds.
pub fn first_id(at: Micros) -> Uuid {
    let millis = u64::try_from(at.div_euclid(1_000)).unwrap_or(0);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// Reads the encoded message of a kind.
///
/// # Errors
/// Bytes that are no such message.
pub fn decode(descriptor: &MessageDescriptor, bytes: &Bytes) -> Result<DynamicMessage, String> {
    DynamicMessage::decode(descriptor.clone(), bytes.clone())
        .map_err(|error| format!("no {}: {error}", descriptor.full_name()))
}

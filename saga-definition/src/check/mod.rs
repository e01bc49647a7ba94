//! From the contract's definition to one that can run: every fault is found and named with its step and place.

use std::fmt;

use contracts::caravan::saga::v1 as pb;
use prost_reflect::DescriptorPool;

use crate::{
    definition::{Definition, MAX_STEPS, Step},
    expression::{Type, with_large_stack},
    places::{Place, Places},
};

mod calls;
mod graph;
mod names;
mod scopes;
mod shape;
mod times;

pub use names::logical_name;

/// Faults told at once.
const MAX_FAULTS: usize = 50;

/// One fault of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, e.g. `steps[2].request`.
    pub field: String,
    /// The step's name, where it is one's.
    pub step: Option<String>,
    /// Where in the field's expression.
    pub inner: Option<Place>,
    /// Where in the text that the definition was read from, once it was [located](Self::locate).
    pub place: Option<Place>,
    /// What is wrong.
    pub text: String,
}

impl Fault {
    /// Finds its place in the text that the definition was read from.
    pub fn locate(&mut self, places: &Places<'_>) {
        let inner = self
            .inner
            .and_then(|inner| places.within(&self.field, inner));
        self.place = inner.or_else(|| places.find(&self.field));
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(step) = &self.step {
            write!(f, "step `{step}`: ")?;
        }
        if let (None, Some(inner)) = (self.place, self.inner) {
            write!(f, "{inner}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// Checks and compiles a definition against descriptors.
///
/// # Errors
/// Every fault that was found, at most 50.
pub fn compile(
    definition: &pb::Definition,
    pool: &DescriptorPool,
) -> Result<Definition, Vec<Fault>> {
    match with_large_stack(|| {
        Compiler {
            pool,
            names: definition.steps.iter().map(|step| &*step.name).collect(),
            faults: Vec::new(),
        }
        .compile(definition)
    }) {
        Ok(compiled) => compiled,
        Err(fault) => Err(vec![Fault {
            field: String::new(),
            step: None,
            inner: None,
            place: None,
            text: fault.text,
        }]),
    }
}

struct Compiler<'a> {
    pool: &'a DescriptorPool,
    /// Of the steps.
    names: Vec<&'a str>,
    faults: Vec<Fault>,
}

impl Compiler<'_> {
    fn compile(mut self, definition: &pb::Definition) -> Result<Definition, Vec<Fault>> {
        if !names::is_definition_name(&definition.name) {
            self.fault(
                "name",
                "is 1 to 64 lower case letters, digits and `-`, a letter first",
            );
        }
        let count = definition.steps.len();
        if count == 0 || count > MAX_STEPS {
            self.fault(
                "steps",
                format!("a definition has 1 to {MAX_STEPS} steps, not {count}"),
            );
            return Err(self.faults);
        }
        self.check_names(&definition.steps);
        self.check_signals(&definition.steps);
        let after = self.predecessors(&definition.steps);
        let order = match graph::order(&after) {
            Ok(order) => order,
            Err(cycle) => {
                let names: Vec<_> = cycle
                    .iter()
                    .map(|step| definition.steps[*step].name.as_str())
                    .collect();
                let field = format!(
                    "steps[{}].after",
                    cycle.first().copied().unwrap_or_default()
                );
                self.fault(
                    field,
                    format!("steps {} wait for each other", names.join(", ")),
                );
                return Err(self.faults);
            }
        };
        let ancestors = graph::ancestors(&after, &order);
        let pivot = self.pivot(&definition.steps, &ancestors);
        let trigger = definition
            .trigger
            .as_ref()
            .and_then(|trigger| self.trigger(trigger));
        let deadline = self.duration(
            "deadline",
            definition.deadline.as_ref(),
            None,
            times::MAX_WAIT,
        );

        let event = trigger
            .as_ref()
            .map(|trigger| Type::of_message(&trigger.message));
        let event = event.unwrap_or(if definition.trigger.is_some() {
            Type::Dyn
        } else {
            scopes::input()
        });
        let only_forward = pivot.is_none()
            && definition
                .steps
                .iter()
                .all(|step| step.compensation.is_none());
        if only_forward && definition.deadline.is_some() {
            self.fault(
                "deadline",
                "says nothing where no step is the pivot or can be undone: the saga never turns back",
            );
        }
        let scopes = scopes::Scopes::new(self.pool, &definition.steps, event);
        let mut steps: Vec<Step> = definition
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                let past_pivot =
                    only_forward || pivot.is_some_and(|pivot| ancestors[index].contains(&pivot));
                let scopes = (
                    scopes.action(&ancestors[index]),
                    scopes.compensation(index, &ancestors[index]),
                );
                self.step(index, step, past_pivot, &scopes)
            })
            .collect();
        for (index, after) in after.into_iter().enumerate() {
            for parent in &after {
                steps[*parent].before.push(index);
            }
            steps[index].after = after;
        }
        mark_read_replies(&mut steps);
        if !self.faults.is_empty() {
            return Err(self.faults);
        }
        Ok(Definition {
            name: definition.name.clone(),
            trigger,
            steps,
            order,
            pivot,
            deadline: deadline.flatten(),
        })
    }

    fn fault(&mut self, field: impl Into<String>, text: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            let field = field.into();
            self.faults.push(Fault {
                step: step_of(&field)
                    .and_then(|step| self.names.get(step))
                    .map(|name| (*name).to_owned()),
                field,
                inner: None,
                place: None,
                text: text.into(),
            });
        }
    }
}

/// The index in `steps[2].request`.
fn step_of(field: &str) -> Option<usize> {
    let (index, _) = field.strip_prefix("steps[")?.split_once(']')?;
    index.parse().ok()
}

/// Replies that no expression reads are not kept.
fn mark_read_replies(steps: &mut [Step]) {
    let read: Vec<bool> = steps
        .iter()
        .map(|step| {
            steps.iter().any(|reader| {
                let calls = reader
                    .call
                    .iter()
                    .chain(&reader.compensation)
                    .map(|call| &call.request);
                let items = reader.for_each.iter().map(|each| &each.items);
                calls
                    .chain(&reader.when)
                    .chain(items)
                    .any(|expression| expression.reads_step(&step.name))
            })
        })
        .collect();
    for (step, read) in steps.iter_mut().zip(read) {
        step.reply_is_read = read;
    }
}

#[cfg(test)]
mod tests;

//! From the contract's definition to one that can run: every fault is found and named with its step and place.

use contracts::caravan::saga::v1 as pb;
use prost_reflect::DescriptorPool;

use crate::{
    definition::{Definition, MAX_STEPS, Step},
    expression::{Type, with_large_stack},
};

mod calls;
mod graph;
mod names;
mod scopes;
mod shape;
mod times;

/// Faults told at once.
const MAX_FAULTS: usize = 50;

/// One fault of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, e.g. `steps[2].request`.
    pub field: String,
    /// What is wrong, with the step's name.
    pub text: String,
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
            faults: Vec::new(),
        }
        .compile(definition)
    }) {
        Ok(compiled) => compiled,
        Err(fault) => Err(vec![Fault {
            field: String::new(),
            text: fault.text,
        }]),
    }
}

struct Compiler<'a> {
    pool: &'a DescriptorPool,
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
            self.faults.push(Fault {
                field: field.into(),
                text: text.into(),
            });
        }
    }
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

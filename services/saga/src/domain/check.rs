//! From the contract's definition to one that can run: every fault is found and named with its step and place.

use std::{collections::HashSet, sync::Arc, time::Duration};

use contracts::caravan::saga::v1 as pb;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::{
    definition::{Call, DEFAULT_TIMEOUT, Definition, MAX_STEPS, RetryPolicy, Step, Trigger},
    graph,
};
use crate::expression::{Expression, Scope, Type, with_large_stack};

mod names;
mod scopes;

use names::{is_definition_name, is_step_name};

/// Longest timeout of an attempt.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);
/// Longest wait between two attempts, and longest saga deadline.
const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);
/// Most attempts of a call.
const MAX_ATTEMPTS: i32 = 1_000_000;
/// Strongest growth of a wait.
const MAX_MULTIPLIER: f64 = 1000.0;
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
pub fn compile(definition: &pb::Definition, pool: &DescriptorPool) -> Result<Definition, Vec<Fault>> {
    match with_large_stack(|| Compiler { pool, faults: Vec::new() }.compile(definition)) {
        Ok(compiled) => compiled,
        Err(fault) => Err(vec![Fault { field: String::new(), text: fault.text }]),
    }
}

struct Compiler<'a> {
    pool: &'a DescriptorPool,
    faults: Vec<Fault>,
}

impl Compiler<'_> {
    fn compile(mut self, definition: &pb::Definition) -> Result<Definition, Vec<Fault>> {
        if !is_definition_name(&definition.name) {
            self.fault("name", "is 1 to 64 lower case letters, digits and `-`, a letter first");
        }
        let count = definition.steps.len();
        if count == 0 || count > MAX_STEPS {
            self.fault("steps", format!("a definition has 1 to {MAX_STEPS} steps, not {count}"));
            return Err(self.faults);
        }
        self.check_names(&definition.steps);
        let after = self.predecessors(&definition.steps);
        let order = match graph::order(&after) {
            Ok(order) => order,
            Err(cycle) => {
                let names: Vec<_> = cycle.iter().map(|step| definition.steps[*step].name.as_str()).collect();
                let field = format!("steps[{}].after", cycle.first().copied().unwrap_or_default());
                self.fault(field, format!("steps {} wait for each other", names.join(", ")));
                return Err(self.faults);
            }
        };
        let ancestors = graph::ancestors(&after, &order);
        let pivot = self.pivot(&definition.steps, &ancestors);
        let trigger = definition.trigger.as_ref().and_then(|trigger| self.trigger(trigger));
        let deadline = self.duration("deadline", definition.deadline.as_ref(), None, MAX_WAIT);

        let event = trigger.as_ref().map(|trigger| Type::of_message(&trigger.message));
        let event = event.unwrap_or(if definition.trigger.is_some() { Type::Dyn } else { scopes::input() });
        let scopes = scopes::Scopes::new(self.pool, &definition.steps, event);
        let mut steps: Vec<Step> = definition
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                let past_pivot = pivot.is_some_and(|pivot| ancestors[index].contains(&pivot));
                let scopes = (scopes.action(&ancestors[index]), scopes.compensation(index, &ancestors[index]));
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
        Ok(Definition { name: definition.name.clone(), trigger, steps, order, pivot, deadline: deadline.flatten() })
    }

    fn fault(&mut self, field: impl Into<String>, text: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { field: field.into(), text: text.into() });
        }
    }

    fn check_names(&mut self, steps: &[pb::Step]) {
        let mut seen = HashSet::new();
        for (index, step) in steps.iter().enumerate() {
            let field = format!("steps[{index}].name");
            if !is_step_name(&step.name) {
                let text = "is 1 to 64 lower case letters, digits and `_`, a letter first, and no word of CEL";
                self.fault(field, format!("`{}`: {text}", step.name));
            } else if !seen.insert(step.name.as_str()) {
                self.fault(field, format!("there are two steps `{}`", step.name));
            }
        }
    }

    /// Indices of what each step waits for: what `after` names, else the step before it in the text.
    fn predecessors(&mut self, steps: &[pb::Step]) -> Vec<Vec<usize>> {
        let mut all = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let mut parents = Vec::new();
            for (place, name) in step.after.iter().enumerate() {
                let field = format!("steps[{index}].after[{place}]");
                match steps.iter().position(|other| other.name == *name) {
                    Some(parent) if parents.contains(&parent) => {
                        self.fault(field, format!("step `{}` names `{name}` twice", step.name));
                    }
                    Some(parent) => parents.push(parent),
                    None => self.fault(field, format!("step `{}`: there is no step `{name}`", step.name)),
                }
            }
            if step.after.is_empty() && !step.parallel && index > 0 {
                parents.push(index - 1);
            }
            all.push(parents);
        }
        all
    }

    /// At most one, and every other step stands clearly before or after it: else a failure beside it could neither go back nor forward.
    fn pivot(&mut self, steps: &[pb::Step], ancestors: &[HashSet<usize>]) -> Option<usize> {
        let mut pivots = steps.iter().enumerate().filter(|(_, step)| step.pivot).map(|(index, _)| index);
        let pivot = pivots.next()?;
        for second in pivots {
            let text = format!("`{}` and `{}` are both the pivot", steps[pivot].name, steps[second].name);
            self.fault(format!("steps[{second}].pivot"), text);
        }
        if steps[pivot].call.is_empty() {
            let text = format!("step `{}` is the pivot and calls nothing", steps[pivot].name);
            self.fault(format!("steps[{pivot}].pivot"), text);
        }
        for (index, step) in steps.iter().enumerate() {
            let past = ancestors[index].contains(&pivot);
            if index != pivot && !past && !ancestors[pivot].contains(&index) {
                let text = format!("step `{}` stands neither before nor after the pivot `{}`", step.name, steps[pivot].name);
                self.fault(format!("steps[{index}].after"), text);
            }
            if past && step.compensation.is_some() {
                let text = format!("step `{}` stands after the pivot, so it is never undone", step.name);
                self.fault(format!("steps[{index}].compensation"), text);
            }
        }
        Some(pivot)
    }

    fn trigger(&mut self, trigger: &pb::Trigger) -> Option<Trigger> {
        let Some(message) = contracts::policy::event_message(&trigger.subject) else {
            self.fault("trigger.subject", format!("no event has the subject `{}`", trigger.subject));
            return None;
        };
        let scope = scopes::event(Type::of_message(&message));
        let key = self.expression("trigger.key", "", &trigger.key, &scope, Some(&Type::String));
        let when = self.condition("trigger.when", "", &trigger.when, &scope);
        Some(Trigger { subject: trigger.subject.clone(), message, key: key?, when })
    }

    fn step(&mut self, index: usize, step: &pb::Step, past_pivot: bool, scopes: &(Scope, Scope)) -> Step {
        let field = |name: &str| format!("steps[{index}].{name}");
        let label = format!("step `{}`: ", step.name);
        let timeout = self
            .duration(&field("timeout"), step.timeout.as_ref(), Some(DEFAULT_TIMEOUT), MAX_TIMEOUT)
            .flatten()
            .unwrap_or(DEFAULT_TIMEOUT);
        let when = self.condition(&field("when"), &label, &step.when, &scopes.0);
        let call = if step.call.is_empty() {
            for (name, set) in [("request", !step.request.is_empty()), ("retry", step.retry.is_some())] {
                if set {
                    self.fault(field(name), format!("{label}has no call to use it for"));
                }
            }
            if step.compensation.is_none() {
                self.fault(field("call"), format!("{label}has neither a call nor a compensation"));
            }
            None
        } else {
            self.call(&field(""), &label, (&step.call, &step.request, step.retry.as_ref()), timeout, &scopes.0)
        };
        let compensation = step.compensation.as_ref().and_then(|undo| {
            let parts = (undo.call.as_str(), undo.request.as_str(), undo.retry.as_ref());
            self.call(&field("compensation."), &label, parts, timeout, &scopes.1)
        });
        Step {
            name: Arc::from(step.name.as_str()),
            after: Vec::new(),
            before: Vec::new(),
            when,
            call,
            compensation,
            past_pivot,
            reply_is_read: false,
        }
    }

    fn call(
        &mut self,
        field: &str,
        label: &str,
        (call, request, retry): (&str, &str, Option<&pb::RetryPolicy>),
        timeout: Duration,
        scope: &Scope,
    ) -> Option<Call> {
        let retry = self.retry(&format!("{field}retry"), label, retry);
        let method = match scopes::method(self.pool, call) {
            Ok(method) => method,
            Err(text) => {
                self.fault(format!("{field}call"), format!("{label}{text}"));
                return None;
            }
        };
        let request = self.request(&format!("{field}request"), label, request, scope, &method)?;
        let service = method.parent_service();
        Some(Call {
            path: format!("/{}/{}", service.full_name(), method.name()).into(),
            service: names::logical_name(service.package_name()).into(),
            input: method.input(),
            output: method.output(),
            request,
            timeout,
            retry,
        })
    }

    fn request(
        &mut self,
        field: &str,
        label: &str,
        text: &str,
        scope: &Scope,
        method: &MethodDescriptor,
    ) -> Option<Expression> {
        // An empty request is the empty message.
        let text = if text.trim().is_empty() { "{}" } else { text };
        let checked = Expression::parse(text).and_then(|expression| {
            expression.check_message(scope, &method.input())?;
            Ok(expression)
        });
        checked.map_err(|fault| self.fault(field, format!("{label}{fault}"))).ok()
    }

    fn condition(&mut self, field: &str, label: &str, text: &str, scope: &Scope) -> Option<Expression> {
        if text.trim().is_empty() { None } else { self.expression(field, label, text, scope, Some(&Type::Bool)) }
    }

    fn expression(
        &mut self,
        field: &str,
        label: &str,
        text: &str,
        scope: &Scope,
        wanted: Option<&Type>,
    ) -> Option<Expression> {
        let checked = Expression::parse(text).and_then(|expression| {
            let found = expression.check(scope)?;
            match wanted {
                Some(wanted) if found != Type::Dyn && found != *wanted => {
                    Err(format!("must be a {wanted}, not a {found}").into())
                }
                _ => Ok(expression),
            }
        });
        checked.map_err(|fault| self.fault(field, format!("{label}{fault}"))).ok()
    }

    fn retry(&mut self, field: &str, label: &str, retry: Option<&pb::RetryPolicy>) -> RetryPolicy {
        let default = RetryPolicy::default();
        let Some(retry) = retry else { return default };
        if !(0..=MAX_ATTEMPTS).contains(&retry.max_attempts) {
            self.fault(format!("{field}.maxAttempts"), format!("{label}must be 0 to {MAX_ATTEMPTS}"));
        }
        if retry.multiplier != 0.0 && !(1.0..=MAX_MULTIPLIER).contains(&retry.multiplier) {
            self.fault(format!("{field}.multiplier"), format!("{label}must be 1 to {MAX_MULTIPLIER}"));
        }
        let mut wait = |name: &str, value, default: Duration| {
            self.duration(&format!("{field}.{name}"), value, Some(default), MAX_WAIT).flatten().unwrap_or(default)
        };
        let initial_backoff = wait("initialBackoff", retry.initial_backoff.as_ref(), default.initial_backoff);
        RetryPolicy {
            max_attempts: match u32::try_from(retry.max_attempts) {
                Ok(0) | Err(_) => default.max_attempts,
                Ok(attempts) => attempts,
            },
            initial_backoff,
            max_backoff: wait("maxBackoff", retry.max_backoff.as_ref(), default.max_backoff).max(initial_backoff),
            multiplier: if retry.multiplier == 0.0 { default.multiplier } else { retry.multiplier },
        }
    }

    /// Outer `None`: at fault. Inner `None`: neither set nor with a default.
    #[allow(clippy::option_option)]
    fn duration(
        &mut self,
        field: &str,
        value: Option<&prost_types::Duration>,
        default: Option<Duration>,
        longest: Duration,
    ) -> Option<Option<Duration>> {
        let Some(value) = value else { return Some(default) };
        match Duration::try_from(*value) {
            Ok(duration) if !duration.is_zero() && duration <= longest => Some(Some(duration)),
            _ => {
                self.fault(field, format!("must be longer than 0 s and at most {} s", longest.as_secs()));
                None
            }
        }
    }
}

/// Replies that no expression reads are not kept.
fn mark_read_replies(steps: &mut [Step]) {
    let read: Vec<bool> = steps
        .iter()
        .map(|step| {
            steps.iter().any(|reader| {
                let calls = reader.call.iter().chain(&reader.compensation).map(|call| &call.request);
                calls.chain(&reader.when).any(|expression| expression.reads_step(&step.name))
            })
        })
        .collect();
    for (step, read) in steps.iter_mut().zip(read) {
        step.reply_is_read = read;
    }
}

#[cfg(test)]
mod tests;

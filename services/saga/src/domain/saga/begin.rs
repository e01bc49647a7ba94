//! How a step begins: its condition, its items, its signal, its request.

use std::{borrow::Cow, sync::Arc};

use prost::Message as _;

use super::{Order, Saga, items};
use crate::{
    domain::{
        Micros,
        definition::{ForEach, WaitFor},
        transition::{Failure, Operation, Sequel, Transition},
    },
    expression::{Expression, Fault, Variables, to_message},
};

/// `failure.reason` where an expression could not be evaluated.
const EXPRESSION_FAILED: &str = "EXPRESSION_FAILED";
/// `failure.reason` where a list has more items than its step takes.
const TOO_MANY_ITEMS: &str = "TOO_MANY_ITEMS";
/// `failure.reason` where a signal did not come in time.
const SIGNAL_TIMEOUT: &str = "SIGNAL_TIMEOUT";

impl Saga {
    pub(super) fn begin(&self, step: usize, now: Micros, orders: &mut Vec<Order>) -> Transition {
        let definition = &self.definition.steps[step];
        if let Some(when) = &definition.when {
            match self.truth(when) {
                Ok(true) => {}
                Ok(false) => return Transition::Skipped { step },
                Err(fault) => return self.unusable(step, None, Operation::Action, &fault),
            }
        }
        if let Some(wait) = &definition.wait_for {
            return self.received(step, wait).unwrap_or_else(|| {
                let timeout = wait.timeout.map(|timeout| timeout.as_micros());
                let until = timeout
                    .map(|timeout| now.saturating_add(timeout.try_into().unwrap_or(Micros::MAX)));
                Transition::Awaited { step, until }
            });
        }
        if let Some(each) = &definition.for_each {
            return self.fan(step, each);
        }
        if definition.call.is_none() {
            return Transition::Passed { step };
        }
        self.call((step, None), Operation::Action, now, orders)
    }

    /// The first signal of the name that nobody took yet.
    pub(super) fn received(&self, step: usize, wait: &WaitFor) -> Option<Transition> {
        let signal = self
            .signals
            .iter()
            .position(|signal| !signal.taken && signal.name == wait.signal)?;
        Some(Transition::Received { step, signal })
    }

    pub(super) fn not_received(&self, step: usize, wait: &WaitFor) -> Transition {
        let text = format!("no signal `{}` came in time", wait.signal);
        self.refused(
            (step, None),
            Operation::Action,
            ("DEADLINE_EXCEEDED", SIGNAL_TIMEOUT, text),
        )
    }

    fn fan(&self, step: usize, each: &ForEach) -> Transition {
        let items = each
            .items
            .evaluate(&self.variables)
            .and_then(|list| match list {
                cel::Value::List(items) => Ok(items),
                _ => Err("the items are no list".to_owned().into()),
            });
        let items = match items {
            Ok(items) if items.len() > each.max_items => {
                let text = format!(
                    "{} items; at most {} are allowed",
                    items.len(),
                    each.max_items
                );
                let why = ("OUT_OF_RANGE", TOO_MANY_ITEMS, text);
                return self.refused((step, None), Operation::Action, why);
            }
            Ok(items) => items::encode(&items).map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        match items {
            Ok(items) => Transition::Fanned {
                step,
                items: items.into(),
            },
            Err(fault) => self.unusable(step, None, Operation::Action, &fault),
        }
    }

    fn truth(&self, when: &Expression) -> Result<bool, Fault> {
        match when.evaluate(&self.variables)? {
            cel::Value::Bool(truth) => Ok(truth),
            _ => Err("the condition is no bool".to_owned().into()),
        }
    }

    /// What the expressions of one item, or of a step without items, see.
    fn variables(
        &self,
        step: usize,
        item: Option<u32>,
        operation: Operation,
    ) -> Cow<'_, Variables> {
        let Some(item) = item else {
            return Cow::Borrowed(&self.variables);
        };
        let mut variables = self.variables.clone();
        let items = self.items.get(&step);
        let value = items.and_then(|items| items.get(item as usize)).cloned();
        variables
            .named
            .insert("item", value.unwrap_or(cel::Value::Null));
        variables
            .named
            .insert("index", cel::Value::Int(item.into()));
        if operation == Operation::Compensation {
            let own = self.item_replies.get(&step).and_then(|all| all.get(&item));
            let name = &self.definition.steps[step].name;
            match own {
                Some(own) => variables.replies.insert(Arc::clone(name), own.clone()),
                None => variables.replies.remove(name),
            };
        }
        Cow::Owned(variables)
    }

    pub(super) fn call(
        &self,
        (step, item): (usize, Option<u32>),
        operation: Operation,
        now: Micros,
        orders: &mut Vec<Order>,
    ) -> Transition {
        let definition = &self.definition.steps[step];
        let call = match operation {
            Operation::Action => &definition.call,
            Operation::Compensation => &definition.compensation,
        };
        let call = call.as_ref().expect("only what has a call is called");
        let request = call
            .request
            .evaluate(&self.variables(step, item, operation))
            .and_then(|value| to_message(&value, &call.input));
        let request = match request {
            Ok(request) => request.encode_to_vec().into(),
            Err(fault) => return self.unusable(step, item, operation, &fault),
        };
        let run = self.unit(step, item, operation);
        let attempt = run.map_or(0, |run| run.attempts) + 1;
        orders.push(Order {
            step,
            item,
            operation,
            attempt,
            request,
        });
        Transition::Called {
            step,
            item,
            at: now,
            operation,
            attempt,
        }
    }

    /// An expression failed on the values of this saga: as if the participant had refused them.
    fn unusable(
        &self,
        step: usize,
        item: Option<u32>,
        operation: Operation,
        fault: &Fault,
    ) -> Transition {
        let why = ("INVALID_ARGUMENT", EXPRESSION_FAILED, fault.to_string());
        self.refused((step, item), operation, why)
    }

    fn refused(
        &self,
        (step, item): (usize, Option<u32>),
        operation: Operation,
        (code, reason, message): (&str, &str, String),
    ) -> Transition {
        let definition = &self.definition.steps[step];
        let run = self.unit(step, item, operation);
        // A pivot that may have been done cannot be taken for one that was not.
        let is_open = self.definition.pivot == Some(step)
            && definition.compensation.is_none()
            && run.is_some_and(|run| run.doubtful);
        let forward = operation == Operation::Action && !definition.past_pivot && !is_open;
        Transition::Failed {
            step,
            item,
            operation,
            attempt: 0,
            failure: Failure {
                step: definition.name.clone(),
                code: code.into(),
                reason: reason.into(),
                message,
            },
            doubtful: false,
            sequel: if forward {
                Sequel::Refused
            } else {
                Sequel::Parked
            },
        }
    }
}

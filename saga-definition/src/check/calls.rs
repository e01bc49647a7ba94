//! Triggers, steps, calls and their expressions against descriptors.

use std::{sync::Arc, time::Duration};

use contracts::caravan::saga::v1 as pb;
use prost_reflect::MethodDescriptor;

use super::{
    Compiler, names, scopes,
    times::{MAX_TIMEOUT, MAX_WAIT},
};
use crate::{
    definition::{
        Call, DEFAULT_MAX_ITEMS, DEFAULT_MAX_PARALLEL, DEFAULT_TIMEOUT, ForEach, MAX_ITEMS,
        MAX_PARALLEL, Step, Trigger, WaitFor,
    },
    expression::{self, Expression, Scope, Type},
    places::Place,
};

impl Compiler<'_> {
    pub(super) fn trigger(&mut self, trigger: &pb::Trigger) -> Option<Trigger> {
        let Some(message) = contracts::policy::event_message(&trigger.subject) else {
            self.fault(
                "trigger.subject",
                format!("no event has the subject `{}`", trigger.subject),
            );
            return None;
        };
        let scope = scopes::event(Type::of_message(&message));
        let key = self.expression("trigger.key", &trigger.key, &scope, Some(&Type::String));
        let when = self.condition("trigger.when", &trigger.when, &scope);
        Some(Trigger {
            subject: trigger.subject.clone(),
            message,
            key: key?,
            when,
        })
    }

    pub(super) fn step(
        &mut self,
        index: usize,
        step: &pb::Step,
        past_pivot: bool,
        scopes: &(Scope, Scope),
    ) -> Step {
        let (mut scopes, outside) = (scopes.clone(), &scopes.0);
        let field = |name: &str| format!("steps[{index}].{name}");
        let timeout = self
            .duration(
                &field("timeout"),
                step.timeout.as_ref(),
                Some(DEFAULT_TIMEOUT),
                MAX_TIMEOUT,
            )
            .flatten()
            .unwrap_or(DEFAULT_TIMEOUT);
        let when = self.condition(&field("when"), &step.when, outside);
        let for_each = step.for_each.as_ref().and_then(|each| {
            let (each, item) = self.for_each(&field("forEach"), each, outside)?;
            for scope in [&mut scopes.0, &mut scopes.1] {
                scope.variables.insert("item".to_owned(), item.clone());
                scope.variables.insert("index".to_owned(), Type::Int);
            }
            Some(each)
        });
        let wait_for = step
            .wait_for
            .as_ref()
            .map(|wait| self.wait_for(&field("waitFor"), wait));
        for (name, set) in [
            ("call", !step.call.is_empty()),
            ("forEach", step.for_each.is_some()),
        ] {
            if wait_for.is_some() && set {
                self.fault(
                    field(name),
                    format!("waits for a signal, so it has no `{name}`"),
                );
            }
        }
        let call = if step.call.is_empty() {
            for (name, set) in [
                ("request", !step.request.is_empty()),
                ("retry", step.retry.is_some()),
            ] {
                if set {
                    self.fault(field(name), "has no call to use it for");
                }
            }
            if step.compensation.is_none() && wait_for.is_none() {
                self.fault(field("call"), "has neither a call nor a compensation");
            }
            None
        } else {
            self.call(
                &field(""),
                (&step.call, &step.request, step.retry.as_ref()),
                timeout,
                &scopes.0,
            )
        };
        let compensation = step.compensation.as_ref().and_then(|undo| {
            let parts = (
                undo.call.as_str(),
                undo.request.as_str(),
                undo.retry.as_ref(),
            );
            self.call(&field("compensation."), parts, timeout, &scopes.1)
        });
        Step {
            name: Arc::from(step.name.as_str()),
            after: Vec::new(),
            before: Vec::new(),
            when,
            call,
            wait_for,
            for_each,
            compensation,
            past_pivot,
            reply_is_read: false,
        }
    }

    fn wait_for(&mut self, field: &str, wait: &pb::WaitFor) -> WaitFor {
        if !names::is_signal_name(&wait.signal) {
            self.fault(
                format!("{field}.signal"),
                "is 1 to 64 lower case letters, digits, `_` and `-`, a letter first",
            );
        }
        let timeout = self.duration(
            &format!("{field}.timeout"),
            wait.timeout.as_ref(),
            None,
            MAX_WAIT,
        );
        WaitFor {
            signal: Arc::from(wait.signal.as_str()),
            payload: contracts::DESCRIPTOR_POOL
                .get_message_by_name("google.protobuf.Struct")
                .expect("saga.proto imports it"),
            timeout: timeout.flatten(),
        }
    }

    /// The items and the type of each.
    fn for_each(
        &mut self,
        field: &str,
        each: &pb::ForEach,
        scope: &Scope,
    ) -> Option<(ForEach, Type)> {
        let mut limit = |name: &str, value: i32, default: usize, most: usize| {
            let value = usize::try_from(value).ok().filter(|value| *value <= most);
            if value.is_none() {
                self.fault(format!("{field}.{name}"), format!("must be 0 to {most}"));
            }
            value.filter(|value| *value > 0).unwrap_or(default)
        };
        let max_items = limit("maxItems", each.max_items, DEFAULT_MAX_ITEMS, MAX_ITEMS);
        let max_parallel = limit(
            "maxParallel",
            each.max_parallel,
            DEFAULT_MAX_PARALLEL,
            MAX_PARALLEL,
        );
        let checked =
            Expression::parse(&each.items).and_then(|items| match items.check(scope)? {
                Type::List(item) => Ok((items, *item)),
                Type::Dyn => Ok((items, Type::Dyn)),
                other => Err(format!("must be a list, not a {other}").into()),
            });
        let (items, item) = checked
            .map_err(|fault| self.misfit(&format!("{field}.items"), fault))
            .ok()?;
        let each = ForEach {
            items,
            max_items,
            max_parallel,
        };
        Some((each, item))
    }

    pub(super) fn call(
        &mut self,
        field: &str,
        (call, request, retry): (&str, &str, Option<&pb::RetryPolicy>),
        timeout: Duration,
        scope: &Scope,
    ) -> Option<Call> {
        let retry = self.retry(&format!("{field}retry"), retry);
        let method = match scopes::method(self.pool, call) {
            Ok(method) => method,
            Err(text) => {
                self.fault(format!("{field}call"), text);
                return None;
            }
        };
        let request = self.request(&format!("{field}request"), request, scope, &method)?;
        let service = method.parent_service();
        Some(Call {
            path: format!("/{}/{}", service.full_name(), method.name()).into(),
            service: service.full_name().into(),
            input: method.input(),
            output: method.output(),
            request,
            timeout,
            retry,
        })
    }

    pub(super) fn request(
        &mut self,
        field: &str,
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
        checked.map_err(|fault| self.misfit(field, fault)).ok()
    }

    /// A fault within an expression.
    fn misfit(&mut self, field: &str, fault: expression::Fault) {
        self.fault(field, fault.text);
        if let (Some(fault), Some((line, column))) = (self.faults.last_mut(), fault.place) {
            fault.inner = Some(Place { line, column });
        }
    }

    pub(super) fn condition(
        &mut self,
        field: &str,
        text: &str,
        scope: &Scope,
    ) -> Option<Expression> {
        if text.trim().is_empty() {
            None
        } else {
            self.expression(field, text, scope, Some(&Type::Bool))
        }
    }

    pub(super) fn expression(
        &mut self,
        field: &str,
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
        checked.map_err(|fault| self.misfit(field, fault)).ok()
    }
}

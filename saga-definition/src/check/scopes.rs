//! What the expressions of a definition may name.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use contracts::caravan::saga::v1 as pb;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::expression::{Scope, Type};

/// The unary method that a text names.
pub(super) fn method(pool: &DescriptorPool, call: &str) -> Result<MethodDescriptor, String> {
    let Some((service, name)) = call.split_once('/') else {
        return Err(format!("`{call}` is no `package.Service/Method`"));
    };
    let Some(service) = pool.get_service_by_name(service) else {
        return Err(format!("there is no service `{service}`"));
    };
    let Some(method) = service.methods().find(|method| method.name() == name) else {
        return Err(format!("{} has no method `{name}`", service.full_name()));
    };
    if method.is_client_streaming() || method.is_server_streaming() {
        return Err(format!("{call} is not unary"));
    }
    Ok(method)
}

/// What `trigger` is where no event starts a saga: whatever StartSaga was given.
pub(super) fn input() -> Type {
    Type::Map(Box::new(Type::Dyn))
}

/// Of a trigger's own expressions.
pub(super) fn event(event: Type) -> Scope {
    Scope {
        variables: HashMap::from([("trigger".to_owned(), event)]),
        ..Scope::default()
    }
}

pub(super) struct Scopes {
    variables: HashMap<String, Type>,
    /// By step index, of steps that call something.
    replies: Vec<Option<Type>>,
    /// By step index: whose replies others see as a list.
    fans_out: Vec<bool>,
    names: Vec<String>,
}

impl Scopes {
    pub(super) fn new(pool: &DescriptorPool, steps: &[pb::Step], event: Type) -> Self {
        let texts = |names: &[&str]| {
            let members = names.iter().map(|name| ((*name).to_owned(), Type::String));
            Type::Object(Arc::new(members.collect()))
        };
        Self {
            variables: HashMap::from([
                ("trigger".to_owned(), event),
                ("saga".to_owned(), texts(&["id", "key"])),
                (
                    "failure".to_owned(),
                    texts(&["step", "code", "reason", "message"]),
                ),
            ]),
            replies: steps
                .iter()
                .map(|step| match &step.wait_for {
                    Some(_) => Some(input()),
                    None => method(pool, &step.call)
                        .ok()
                        .map(|method| Type::of_message(&method.output())),
                })
                .collect(),
            fans_out: steps.iter().map(|step| step.for_each.is_some()).collect(),
            names: steps.iter().map(|step| step.name.clone()).collect(),
        }
    }

    /// Of a step's condition and request.
    pub(super) fn action(&self, ancestors: &HashSet<usize>) -> Scope {
        let mut scope = self.of(ancestors.iter());
        scope.variables.remove("failure");
        scope
    }

    /// Of a step's compensation. The step's own reply is absent where its outcome is unknown: `has(steps.x)`
    /// tells; with `for_each` it is the reply of the item at hand.
    pub(super) fn compensation(&self, step: usize, ancestors: &HashSet<usize>) -> Scope {
        let mut scope = self.of(ancestors.iter());
        if let (Some(replies), Some(own)) = (&mut scope.steps, &self.replies[step]) {
            replies.insert(self.names[step].clone(), own.clone());
        }
        scope
    }

    fn of<'a>(&self, steps: impl Iterator<Item = &'a usize>) -> Scope {
        let replies = steps
            .filter_map(|step| {
                let reply = self.replies[*step].clone()?;
                let reply = if self.fans_out[*step] {
                    Type::List(Box::new(reply))
                } else {
                    reply
                };
                Some((self.names[*step].clone(), reply))
            })
            .collect();
        Scope {
            variables: self.variables.clone(),
            steps: Some(replies),
            all_steps: self.names.clone(),
        }
    }
}

//! Which fields a request's path has already set, as a tree that is walked along with the body.

use crate::{
    MAX_DEPTH,
    schema::{Kind, Message, MessageId, Schema, Shape},
};

/// One step from a message to one of its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) message: MessageId,
    pub(crate) field: u16,
}

/// The way from the request to a field.
pub(crate) type FieldPath = Box<[Step]>;

/// Fields of one message, each set whole or in parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound(Vec<(u16, Option<Bound>)>);

/// How a field is set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set<'a> {
    No,
    Whole,
    InParts(&'a Bound),
}

impl Bound {
    pub(crate) fn insert(&mut self, path: &[Step]) {
        let [step, rest @ ..] = path else { return };
        let parts = match self.0.iter_mut().find(|(field, _)| *field == step.field) {
            Some((_, parts)) => parts,
            None => {
                self.0.push((step.field, None));
                &mut self.0.last_mut().expect("just pushed").1
            }
        };
        if !rest.is_empty() {
            parts.get_or_insert_default().insert(rest);
        }
    }

    #[inline]
    pub(crate) fn find(&self, field: u16) -> Set<'_> {
        match self.0.iter().find(|(found, _)| *found == field) {
            None => Set::No,
            Some((_, None)) => Set::Whole,
            Some((_, Some(parts))) => Set::InParts(parts),
        }
    }
}

/// Resolves a dotted path of proto or JSON names. The fault is text that names the first step that is wrong.
pub(crate) fn resolve(schema: &Schema, root: MessageId, path: &str) -> Result<FieldPath, String> {
    let mut steps = Vec::new();
    let mut inside = Some(root);
    for name in path.split('.') {
        if steps.len() > MAX_DEPTH as usize {
            return Err(format!("is nested deeper than {MAX_DEPTH} levels"));
        }
        let Some(message) = inside else {
            return Err(format!("{path:?} goes on after a field without parts"));
        };
        let found: &Message = schema.message(message);
        let Some(index) = found.field_named(name) else {
            return Err(format!("{} has no field {name:?}", found.name));
        };
        steps.push(Step {
            message,
            field: index,
        });
        let field = found.field(index);
        inside = match (field.kind, field.shape) {
            (Kind::Message(id) | Kind::Group(id), Shape::Implicit | Shape::Explicit) => Some(id),
            _ => None,
        };
    }
    Ok(steps.into())
}

/// A path in JSON names.
pub(crate) fn json_name(schema: &Schema, path: &[Step]) -> String {
    path.iter()
        .map(|step| &*schema.message(step.message).field(step.field).json_name)
        .collect::<Vec<_>>()
        .join(".")
}

//! Operators and functions: what they take and what they yield.

use cel::common::ast::{CallExpr, operators};

use super::{Checker, Misfit};
use crate::expression::types::Type;

impl<'a> Checker<'a> {
    pub(super) fn call(&mut self, id: u64, call: &'a CallExpr) -> Result<Type, Misfit> {
        let mut found = Vec::with_capacity(call.args.len() + 1);
        for part in call.target.as_deref().into_iter().chain(&call.args) {
            found.push(self.infer(part)?);
        }
        let refuse = |found: &[Type]| {
            let types: Vec<_> = found.iter().map(ToString::to_string).collect();
            Err((
                id,
                format!("`{}` does not take ({})", call.func_name, types.join(", ")),
            ))
        };
        match (call.func_name.as_str(), found.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) if condition.may_be(&Type::Bool) => {
                Ok(yes.clone().join(no.clone()))
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b])
                if a.may_be(&Type::Bool) && b.may_be(&Type::Bool) =>
            {
                Ok(Type::Bool)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [a])
                if a.may_be(&Type::Bool) =>
            {
                Ok(Type::Bool)
            }
            (operators::EQUALS | operators::NOT_EQUALS, [a, b])
                if a.may_be(b) || *a == Type::Null || *b == Type::Null =>
            {
                Ok(Type::Bool)
            }
            (
                operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS,
                [a, b],
            ) if a.may_be(b)
                && !matches!(
                    a,
                    Type::List(_) | Type::Map(_) | Type::Message(_) | Type::Object(_)
                ) =>
            {
                Ok(Type::Bool)
            }
            (operators::ADD, [a, b]) => sum(a, b).map_or_else(|| refuse(&found), Ok),
            (
                operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                [a, b],
            ) => {
                if matches!((a, b), (Type::Dyn, _) | (_, Type::Dyn)) {
                    Ok(Type::Dyn)
                } else if a == b && a.is_number() {
                    Ok(a.clone())
                } else {
                    refuse(&found)
                }
            }
            (operators::NEGATE, [a @ (Type::Int | Type::Double | Type::Dyn)]) => Ok(a.clone()),
            (operators::INDEX, [container, index]) => {
                element(container, index).map_or_else(|| refuse(&found), Ok)
            }
            (
                operators::IN,
                [
                    _,
                    Type::List(_) | Type::Map(_) | Type::Object(_) | Type::Dyn,
                ],
            ) => Ok(Type::Bool),
            (
                "size",
                [
                    Type::String
                    | Type::Bytes
                    | Type::List(_)
                    | Type::Map(_)
                    | Type::Object(_)
                    | Type::Dyn,
                ],
            ) => Ok(Type::Int),
            (
                "contains" | "startsWith" | "endsWith",
                [Type::String | Type::Dyn, Type::String | Type::Dyn],
            ) => Ok(Type::Bool),
            ("string", [a])
                if a.is_number()
                    || matches!(a, Type::Bool | Type::String | Type::Bytes | Type::Dyn) =>
            {
                Ok(Type::String)
            }
            ("int", [a]) if a.is_number() || matches!(a, Type::String | Type::Dyn) => Ok(Type::Int),
            ("uint", [a]) if a.is_number() || matches!(a, Type::String | Type::Dyn) => {
                Ok(Type::Uint)
            }
            ("double", [a]) if a.is_number() || matches!(a, Type::String | Type::Dyn) => {
                Ok(Type::Double)
            }
            ("bool", [Type::Bool | Type::String | Type::Dyn]) => Ok(Type::Bool),
            ("bytes", [Type::Bytes | Type::String | Type::Dyn]) => Ok(Type::Bytes),
            ("dyn", [_]) => Ok(Type::Dyn),
            (name, _) if !KNOWN.contains(&name) => {
                Err((id, format!("there is no function `{name}`")))
            }
            _ => refuse(&found),
        }
    }
}

/// Functions that are there, if not for every argument.
const KNOWN: [&str; 30] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NOT_STRICTLY_FALSE,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::ADD,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "dyn",
];

fn sum(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (Type::Dyn, _) | (_, Type::Dyn) => Some(Type::Dyn),
        (Type::List(a), Type::List(b)) => {
            Some(Type::List(Box::new((**a).clone().join((**b).clone()))))
        }
        (a, b) if a == b && (a.is_number() || matches!(a, Type::String | Type::Bytes)) => {
            Some(a.clone())
        }
        _ => None,
    }
}

fn element(container: &Type, index: &Type) -> Option<Type> {
    match (container, index) {
        (Type::List(element), index) if index.may_be(&Type::Int) => Some((**element).clone()),
        (Type::Map(value), _) => Some((**value).clone()),
        (Type::Object(_) | Type::Dyn, _) => Some(Type::Dyn),
        _ => None,
    }
}

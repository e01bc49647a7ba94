//! Infers the types of an expression and finds the places where they do not fit.

use std::{collections::HashMap, sync::Arc};

use cel::common::ast::{
    ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::types::{Scope, Type};
use fits::{fits, fits_kind, fits_message, unknown_field};

mod calls;
mod fits;

/// The id of the node at fault and what is wrong there.
type Misfit = (u64, String);

pub(super) struct Checker<'a> {
    scope: &'a Scope,
    /// Variables that macros bind, innermost last.
    bound: Vec<(&'a str, Type)>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(scope: &'a Scope) -> Self {
        Self {
            scope,
            bound: Vec::new(),
        }
    }

    /// Checks that an expression makes a message. A map literal is checked key by key.
    pub(super) fn message(
        &mut self,
        expr: &'a IdedExpr,
        wanted: &MessageDescriptor,
    ) -> Result<(), Misfit> {
        match &expr.expr {
            Expr::Map(map) if matches!(Type::of_message(wanted), Type::Message(_)) => {
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        continue;
                    };
                    let Expr::Literal(LiteralValue::String(name)) = &entry.key.expr else {
                        return Err((
                            entry.key.id,
                            format!("keys of {} are its field names", wanted.full_name()),
                        ));
                    };
                    let field = wanted
                        .get_field_by_name(name.inner())
                        .ok_or_else(|| (entry.key.id, unknown_field(wanted, name.inner())))?;
                    self.field(&entry.value, &field)?;
                }
                Ok(())
            }
            Expr::Call(call)
                if call.func_name == operators::CONDITIONAL && call.args.len() == 3 =>
            {
                self.truth(&call.args[0])?;
                self.message(&call.args[1], wanted)?;
                self.message(&call.args[2], wanted)
            }
            _ => {
                let found = self.infer(expr)?;
                fits_message(&found, wanted).map_err(|text| (expr.id, text))
            }
        }
    }

    fn field(&mut self, expr: &'a IdedExpr, field: &FieldDescriptor) -> Result<(), Misfit> {
        if let (Expr::List(list), true) = (&expr.expr, field.is_list()) {
            return list
                .elements
                .iter()
                .try_for_each(|element| self.one(element, field));
        }
        if field.is_list() || field.is_map() {
            let found = self.infer(expr)?;
            return fits(&found, field).map_err(|text| (expr.id, text));
        }
        self.one(expr, field)
    }

    fn one(&mut self, expr: &'a IdedExpr, field: &FieldDescriptor) -> Result<(), Misfit> {
        match (field.kind(), &expr.expr) {
            (Kind::Message(wanted), Expr::Map(_)) => self.message(expr, &wanted),
            (Kind::Enum(wanted), Expr::Literal(LiteralValue::String(name))) => {
                match wanted.get_value_by_name(name.inner()) {
                    Some(_) => Ok(()),
                    None => Err((
                        expr.id,
                        format!("`{}` is no value of {}", name.inner(), wanted.full_name()),
                    )),
                }
            }
            (kind, _) => {
                let found = self.infer(expr)?;
                fits_kind(&found, &kind, field.name()).map_err(|text| (expr.id, text))
            }
        }
    }

    pub(super) fn infer(&mut self, expr: &'a IdedExpr) -> Result<Type, Misfit> {
        match &expr.expr {
            Expr::Unspecified => Ok(Type::Dyn),
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Bytes(_) => Type::Bytes,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::Int(_) => Type::Int,
                LiteralValue::Null => Type::Null,
                LiteralValue::String(_) => Type::String,
                LiteralValue::UInt(_) => Type::Uint,
            }),
            Expr::Ident(name) => self.variable(expr.id, name),
            Expr::Select(select) => self.select(expr.id, select),
            Expr::List(list) => {
                let mut element = Type::Nothing;
                for part in &list.elements {
                    element = element.join(self.infer(part)?);
                }
                Ok(Type::List(Box::new(element)))
            }
            Expr::Map(map) => self.map(&map.entries),
            Expr::Struct(message) => Err((
                expr.id,
                format!("write a message as a map, not as {}{{}}", message.type_name),
            )),
            Expr::Comprehension(fold) => self.fold(fold),
            Expr::Call(call) => self.call(expr.id, call),
        }
    }

    fn variable(&self, id: u64, name: &str) -> Result<Type, Misfit> {
        if let Some((_, found)) = self.bound.iter().rev().find(|(bound, _)| *bound == name) {
            return Ok(found.clone());
        }
        if let Some(found) = self.scope.variables.get(name) {
            return Ok(found.clone());
        }
        match (&self.scope.steps, name) {
            (Some(steps), "steps") => Ok(Type::Object(Arc::new(steps.clone()))),
            _ => Err((id, format!("there is no `{name}` here"))),
        }
    }

    fn select(&mut self, id: u64, select: &'a SelectExpr) -> Result<Type, Misfit> {
        let field = select.field.as_str();
        let found = match (&select.operand.expr, &self.scope.steps) {
            (Expr::Ident(name), Some(steps)) if name == "steps" => steps
                .get(field)
                .cloned()
                .ok_or_else(|| (id, self.no_reply(field)))?,
            _ => match self.infer(&select.operand)? {
                Type::Message(message) => match message.get_field_by_name(field) {
                    Some(field) => Type::of_field(&field),
                    None => return Err((id, unknown_field(&message, field))),
                },
                Type::Map(value) => *value,
                Type::Object(members) => match members.get(field) {
                    Some(member) => member.clone(),
                    None if select.test => Type::Dyn,
                    None => return Err((id, format!("there is no `{field}` in this"))),
                },
                Type::Dyn => Type::Dyn,
                other => return Err((id, format!("a {other} has no field `{field}`"))),
            },
        };
        Ok(if select.test { Type::Bool } else { found })
    }

    fn no_reply(&self, step: &str) -> String {
        if self.scope.all_steps.iter().any(|known| known == step) {
            format!(
                "there is no reply of step `{step}` here: it calls nothing or does not stand before"
            )
        } else {
            format!("there is no step `{step}`")
        }
    }

    fn map(&mut self, entries: &'a [cel::common::ast::IdedEntryExpr]) -> Result<Type, Misfit> {
        let mut members = HashMap::new();
        let mut value = Type::Nothing;
        let mut named = true;
        for entry in entries {
            let EntryExpr::MapEntry(entry) = &entry.expr else {
                continue;
            };
            self.infer(&entry.key)?;
            let found = self.infer(&entry.value)?;
            match &entry.key.expr {
                Expr::Literal(LiteralValue::String(name)) => {
                    members.insert(name.inner().to_owned(), found.clone());
                }
                _ => named = false,
            }
            value = value.join(found);
        }
        Ok(if named {
            Type::Object(Arc::new(members))
        } else {
            Type::Map(Box::new(value))
        })
    }

    fn fold(&mut self, fold: &'a ComprehensionExpr) -> Result<Type, Misfit> {
        let (first, second) = match self.infer(&fold.iter_range)? {
            Type::List(element) => (*element, Type::Int),
            Type::Map(value) => (Type::Dyn, *value),
            Type::Object(_) => (Type::String, Type::Dyn),
            Type::Dyn | Type::Nothing => (Type::Dyn, Type::Dyn),
            other => return Err((fold.iter_range.id, format!("a {other} has no elements"))),
        };
        let start = self.infer(&fold.accu_init)?;
        let names = self.bound.len();
        if let Some(name) = &fold.iter_var2 {
            // Of two variables the first is the index or key.
            let index = if second == Type::Int {
                Type::Int
            } else {
                Type::Dyn
            };
            self.bound.push((&fold.iter_var, index));
            self.bound.push((name, first));
        } else {
            self.bound.push((&fold.iter_var, first));
        }
        self.bound.push((&fold.accu_var, start.clone()));
        self.infer(&fold.loop_cond)?;
        let step = self.infer(&fold.loop_step)?;
        self.bound.truncate(names);
        self.bound.push((&fold.accu_var, start.join(step)));
        let result = self.infer(&fold.result);
        self.bound.truncate(names);
        result
    }

    fn truth(&mut self, expr: &'a IdedExpr) -> Result<(), Misfit> {
        match self.infer(expr)? {
            Type::Bool | Type::Dyn => Ok(()),
            other => Err((expr.id, format!("must be a bool, not a {other}"))),
        }
    }
}

//! Expressions of definitions: CEL, checked against descriptors before they ever run, and bounded when they do.
//!
//! They see `trigger`, `saga` (`id`, `key`), `steps` (replies by step) and, where a step is undone,
//! `failure` (`step`, `code`, `reason`, `message`). Of CEL's standard library everything but time and
//! regular expressions is there; messages are maps from field names, enums are numbers, and an unset
//! message field is absent (`has(trigger.total)`).

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, Program, Value, common::ast::IdedExpr};

mod bound;
mod check;
mod message;
mod types;
mod walk;

pub use message::{from_message, to_message};
pub use types::{Scope, Type};

/// Longest text of one expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 8 * 1024;
/// Deepest nesting of one expression; bounds the stack that evaluating it takes.
const MAX_DEPTH: usize = 48;
/// Most that one evaluation may touch, in bytes and operations together.
const MAX_COST: u64 = 16 * 1024 * 1024;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What is wrong with an expression, or went wrong in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line and column, from 1, where the place is known.
    pub place: Option<(usize, usize)>,
    /// For people.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{line}:{column}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Fault {}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self { place: None, text }
    }
}

/// What expressions of one saga see.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// By name: `trigger`, `saga`, `failure`.
    pub named: HashMap<&'static str, Value>,
    /// Replies by step name: `steps`.
    pub replies: HashMap<Arc<str>, Value>,
}

/// One parsed expression.
#[derive(Debug)]
pub struct Expression {
    program: Program,
    text: String,
    names: BTreeSet<String>,
    /// Steps that it names; `None` where it uses `steps` as a whole.
    steps: Option<BTreeSet<String>>,
}

impl Expression {
    /// Parses an expression. The parser recurses: call it where the stack is large ([`with_large_stack`]).
    ///
    /// # Errors
    /// Text that is too long, too deep, or no CEL, and what is costly even where all that it reads is small.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_EXPRESSION_BYTES {
            return Err(format!("an expression has at most {MAX_EXPRESSION_BYTES} bytes").into());
        }
        let program = ENVIRONMENT
            .compile(text)
            .map_err(|errors| match errors.errors.first() {
                Some(error) => Fault {
                    place: place_of(error.pos),
                    text: error.msg.clone(),
                },
                None => Fault::from("is no expression".to_owned()),
            })?;
        if walk::depth(program.expression()) > MAX_DEPTH {
            return Err(format!("an expression nests at most {MAX_DEPTH} deep").into());
        }
        let least = bound::least_cost(program.expression());
        if least > MAX_COST {
            return Err(too_costly(least));
        }
        let names = program
            .references()
            .variables()
            .into_iter()
            .map(str::to_owned)
            .collect();
        let steps = walk::steps(program.expression());
        Ok(Self {
            program,
            text: text.to_owned(),
            names,
            steps,
        })
    }

    /// Its type in a scope.
    ///
    /// # Errors
    /// The first place where the types do not fit.
    pub fn check(&self, scope: &Scope) -> Result<Type, Fault> {
        check::Checker::new(scope)
            .infer(self.root())
            .map_err(|(id, text)| self.at(id, text))
    }

    /// Checks that it makes a message of the kind that `scope` and `descriptor` say.
    ///
    /// # Errors
    /// The first place where the types do not fit.
    pub fn check_message(
        &self,
        scope: &Scope,
        descriptor: &prost_reflect::MessageDescriptor,
    ) -> Result<(), Fault> {
        check::Checker::new(scope)
            .message(self.root(), descriptor)
            .map_err(|(id, text)| self.at(id, text))
    }

    /// Whether it reads the reply of this step.
    pub fn reads_step(&self, step: &str) -> bool {
        self.steps.as_ref().is_none_or(|steps| steps.contains(step))
    }

    /// Its value.
    ///
    /// # Errors
    /// What fails while it is evaluated, such as an unset field or an overflow, and more work than is allowed.
    pub fn evaluate(&self, variables: &Variables) -> Result<Value, Fault> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        let mut known = HashMap::new();
        for (name, value) in &variables.named {
            if self.names.contains(*name) {
                known.insert(*name, value.clone());
            }
        }
        if self.names.contains("steps") {
            let replies: HashMap<String, Value> = variables
                .replies
                .iter()
                .filter(|(step, _)| self.reads_step(step))
                .map(|(step, reply)| (step.to_string(), reply.clone()))
                .collect();
            known.insert("steps", replies.into());
        }
        let cost = bound::cost(self.root(), &known);
        if cost > MAX_COST {
            return Err(too_costly(cost));
        }
        for (name, value) in known {
            context.add_variable_from_value(name, value);
        }
        self.program
            .execute(&context)
            .map_err(|error| Fault::from(error.to_string()))
    }

    fn root(&self) -> &IdedExpr {
        self.program.expression()
    }

    fn at(&self, id: u64, text: String) -> Fault {
        let place = self.program.source_info().offset_for(id).map(|(start, _)| {
            let before: String = self.text.chars().take(start as usize).collect();
            let line = before.matches('\n').count() + 1;
            (
                line,
                before.chars().rev().take_while(|c| *c != '\n').count() + 1,
            )
        });
        Fault { place, text }
    }
}

fn too_costly(cost: u64) -> Fault {
    format!("would take {cost} steps of work; {MAX_COST} are allowed").into()
}

fn place_of((line, column): (isize, isize)) -> Option<(usize, usize)> {
    Some((usize::try_from(line).ok()?, usize::try_from(column).ok()?))
        .filter(|place| *place != (0, 0))
}

/// Runs `parse` on a thread of its own with a stack that the deepest text of [`MAX_EXPRESSION_BYTES`] cannot exhaust.
///
/// # Errors
/// Where the operating system gives no thread, or `parse` panics.
pub fn with_large_stack<T: Send>(parse: impl FnOnce() -> T + Send) -> Result<T, Fault> {
    /// Measured need of the deepest possible text, times four.
    const STACK_BYTES: usize = 256 * 1024 * 1024;
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("expressions".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, parse)
            .map_err(|_| Fault::from("no thread to read expressions on".to_owned()))?
            .join()
            .map_err(|_| Fault::from("could not be read".to_owned()))
    })
}

#[cfg(test)]
mod tests;

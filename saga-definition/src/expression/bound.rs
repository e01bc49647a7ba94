//! How much work and memory an expression takes at most, computed from the sizes of what it reads, before it runs.
//!
//! CEL always ends, but `[a].map(x, x + x).map(x, x + x)...` doubles with every link. The bound is an upper
//! one: what a part yields is never larger than said here.

use std::collections::HashMap;

use cel::{
    Value,
    common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators},
    objects::Key,
};

use super::walk;

/// The size of a value: known exactly where the value is, else an upper bound.
#[derive(Clone)]
enum Size<'a> {
    Exactly(&'a Value),
    AtMost(Limit),
}

#[derive(Clone, Copy, Default)]
struct Limit {
    /// Bytes and nodes of all of it.
    total: u64,
    /// Elements of a list or map.
    count: u64,
    /// Bytes and nodes of the largest element.
    element: u64,
}

impl Limit {
    fn scalar(total: u64) -> Self {
        Self {
            total,
            count: total,
            element: total,
        }
    }

    /// Of one or the other.
    fn either(self, other: Self) -> Self {
        Self {
            total: self.total.max(other.total),
            count: self.count.max(other.count),
            element: self.element.max(other.element),
        }
    }

    /// Of one appended to the other.
    fn both(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            count: self.count.saturating_add(other.count),
            element: self.element.max(other.element),
        }
    }
}

impl Size<'_> {
    fn limit(&self) -> Limit {
        match self {
            Self::AtMost(limit) => *limit,
            Self::Exactly(Value::List(list)) => list.iter().map(weight).fold(
                Limit {
                    total: 1,
                    ..Limit::default()
                },
                add_element,
            ),
            Self::Exactly(Value::Map(map)) => map
                .map
                .iter()
                .map(|(key, value)| key_weight(key) + weight(value))
                .fold(
                    Limit {
                        total: 1,
                        ..Limit::default()
                    },
                    add_element,
                ),
            Self::Exactly(other) => Limit::scalar(weight(other)),
        }
    }
}

fn add_element(limit: Limit, weight: u64) -> Limit {
    Limit {
        total: limit.total.saturating_add(weight),
        count: limit.count + 1,
        element: limit.element.max(weight),
    }
}

fn weight(value: &Value) -> u64 {
    match value {
        Value::String(text) => 1 + text.len() as u64,
        Value::Bytes(bytes) => 1 + bytes.len() as u64,
        Value::List(list) => 1 + list.iter().map(weight).sum::<u64>(),
        Value::Map(map) => {
            1 + map
                .map
                .iter()
                .map(|(key, value)| key_weight(key) + weight(value))
                .sum::<u64>()
        }
        _ => 1,
    }
}

fn key_weight(key: &Key) -> u64 {
    match key {
        Key::String(text) => 1 + text.len() as u64,
        _ => 1,
    }
}

/// What is assumed of everything that is known only when the expression runs: a list of 10 texts.
const ASSUMED: Limit = Limit {
    total: 640,
    count: 10,
    element: 64,
};

/// What evaluating `root` takes where all that it reads is of a modest size.
pub(super) fn least_cost(root: &IdedExpr) -> u64 {
    let mut meter = Meter {
        names: Vec::new(),
        unknown: Some(ASSUMED),
        cost: 0,
        times: 1,
    };
    meter.measure(root);
    meter.cost
}

/// Most that evaluating `root` touches, in bytes and operations together.
pub(super) fn cost(root: &IdedExpr, known: &HashMap<&'static str, Value>) -> u64 {
    let mut meter = Meter {
        names: known
            .iter()
            .map(|(name, value)| (*name, Size::Exactly(value)))
            .collect(),
        unknown: None,
        cost: 0,
        times: 1,
    };
    meter.measure(root);
    meter.cost
}

struct Meter<'a> {
    names: Vec<(&'a str, Size<'a>)>,
    /// The size of what is not named and of its members; `None` where all is known that can be read.
    unknown: Option<Limit>,
    cost: u64,
    /// How often the part at hand is evaluated.
    times: u64,
}

impl<'a> Meter<'a> {
    fn measure(&mut self, expr: &'a IdedExpr) -> Size<'a> {
        let size = self.size(&expr.expr);
        // Reading from a known value copies nothing; what is made is charged.
        let made = match &size {
            Size::Exactly(_) => 1,
            Size::AtMost(limit) => limit.total.saturating_add(1),
        };
        self.cost = self.cost.saturating_add(made.saturating_mul(self.times));
        size
    }

    fn size(&mut self, expr: &'a Expr) -> Size<'a> {
        match expr {
            Expr::Ident(name) => self.name(name),
            Expr::Literal(literal) => Size::AtMost(Limit::scalar(match literal {
                LiteralValue::String(text) => 1 + text.inner().len() as u64,
                LiteralValue::Bytes(bytes) => 1 + bytes.inner().len() as u64,
                _ => 1,
            })),
            Expr::Select(select) => {
                let operand = self.measure(&select.operand);
                if let Size::Exactly(Value::Map(map)) = &operand
                    && let Some(member) = map.map.get(&Key::from(select.field.as_str()))
                {
                    return Size::Exactly(member);
                }
                Size::AtMost(
                    self.unknown
                        .unwrap_or_else(|| Limit::scalar(operand.limit().total)),
                )
            }
            Expr::Comprehension(fold) => self.fold(fold),
            Expr::Call(call)
                if call.func_name == operators::CONDITIONAL && call.args.len() == 3 =>
            {
                self.measure(&call.args[0]);
                let (yes, no) = (self.measure(&call.args[1]), self.measure(&call.args[2]));
                Size::AtMost(yes.limit().either(no.limit()))
            }
            other => {
                let sum = walk::parts(other)
                    .into_iter()
                    .map(|part| self.measure(part).limit())
                    .fold(
                        (Limit::default(), 0_u64, 0_u64),
                        |(sum, largest, parts), limit| {
                            (sum.both(limit), largest.max(limit.total), parts + 1)
                        },
                    );
                let (sum, largest, parts) = sum;
                Size::AtMost(match other {
                    Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => Limit {
                        total: sum.total.saturating_add(1),
                        count: parts,
                        element: largest,
                    },
                    Expr::Call(call) if call.func_name == operators::INDEX => {
                        Limit::scalar(sum.total)
                    }
                    // No function of the library yields more than it takes, save digits of a number.
                    _ => Limit {
                        total: sum.total.saturating_add(32),
                        ..sum
                    },
                })
            }
        }
    }

    fn name(&self, name: &str) -> Size<'a> {
        let found = self.names.iter().rev().find(|(known, _)| *known == name);
        let unknown = Size::AtMost(self.unknown.unwrap_or(Limit::scalar(1)));
        found.map_or(unknown, |(_, size)| size.clone())
    }

    /// Macros make folds only; each appends to its accumulator, or decides by it, once an element.
    fn fold(&mut self, fold: &'a ComprehensionExpr) -> Size<'a> {
        let range = self.measure(&fold.iter_range).limit();
        let start = self.measure(&fold.accu_init).limit();
        let (names, times) = (self.names.len(), self.times);
        self.names
            .push((&fold.iter_var, Size::AtMost(Limit::scalar(range.element))));
        if let Some(second) = &fold.iter_var2 {
            self.names
                .push((second, Size::AtMost(Limit::scalar(range.element))));
        }
        self.names
            .push((&fold.accu_var, Size::AtMost(Limit::default())));
        self.times = times.saturating_mul(range.count.max(1));
        self.measure(&fold.loop_cond);
        let grown = self.measure(&fold.loop_step).limit();
        self.times = times;
        self.names.truncate(names);
        Size::AtMost(start.both(Limit {
            total: grown.total.saturating_mul(range.count),
            count: grown.count.max(1).saturating_mul(range.count),
            element: grown.element,
        }))
    }
}

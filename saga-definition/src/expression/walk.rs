//! What an expression consists of, without its meaning.

use std::collections::BTreeSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// The direct parts of an expression.
pub(super) fn parts(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect(),
        Expr::Comprehension(fold) => {
            vec![
                &fold.iter_range,
                &fold.accu_init,
                &fold.loop_cond,
                &fold.loop_step,
                &fold.result,
            ]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|entry| of_entry(&entry.expr))
            .collect(),
        Expr::Struct(message) => message
            .entries
            .iter()
            .flat_map(|entry| of_entry(&entry.expr))
            .collect(),
    }
}

fn of_entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// How deep an expression nests.
pub(super) fn depth(root: &IdedExpr) -> usize {
    let mut deepest = 0;
    let mut open = vec![(root, 1)];
    while let Some((expr, depth)) = open.pop() {
        deepest = deepest.max(depth);
        open.extend(parts(&expr.expr).into_iter().map(|part| (part, depth + 1)));
    }
    deepest
}

/// The steps that an expression names (`steps.x`); `None` where it uses `steps` otherwise.
pub(super) fn steps(root: &IdedExpr) -> Option<BTreeSet<String>> {
    let mut named = BTreeSet::new();
    let mut open = vec![root];
    while let Some(expr) = open.pop() {
        match &expr.expr {
            Expr::Select(select) if is_steps(&select.operand) => {
                named.insert(select.field.clone());
            }
            _ if is_steps(expr) => return None,
            other => open.extend(parts(other)),
        }
    }
    Some(named)
}

fn is_steps(expr: &IdedExpr) -> bool {
    matches!(&expr.expr, Expr::Ident(name) if name == "steps")
}

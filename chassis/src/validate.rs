//! Checks messages against the `buf.validate` rules in the contract, and well-known types against bounds of our own.
//!
//! Nearly every message keeps all rules, so that is found out first, by its wire bytes ([`table`]). Only where that cannot
//! tell is the message built by descriptor and looked at rule by rule ([`violations`]), which finds what is wrong and where.

mod rules;
mod table;
mod violations;
mod well_known;
mod wire;

use std::{cell::RefCell, sync::LazyLock};

use contracts::DESCRIPTOR_POOL;
use prost_reflect::ReflectMessage;

use self::{rules::Rules, table::Table};
use crate::error::Violation;

/// No text holds it: PostgreSQL cannot store it, and programs in C end a text at it.
const NUL: char = '\0';
const NO_NUL: &str = "must not hold the letter U+0000";
/// Largest memory that a thread keeps for the bytes of the next message.
const MAX_KEPT_BYTES: usize = 64 * 1024;

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::of(&DESCRIPTOR_POOL));
static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of(&DESCRIPTOR_POOL, &RULES));

thread_local! {
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// All violations of a message, in the order of its fields; empty where it keeps every rule.
pub(crate) fn check<M: ReflectMessage>(message: &M) -> Vec<Violation> {
    let descriptor = message.descriptor();
    if keeps_all(message, descriptor.full_name()) {
        return Vec::new();
    }
    RULES.check(&message.transcode_to_dynamic())
}

/// Whether a message surely keeps every rule.
fn keeps_all<M: ReflectMessage>(message: &M, name: &str) -> bool {
    BYTES.with_borrow_mut(|bytes| {
        bytes.clear();
        let keeps = message.encode(bytes).is_ok() && TABLE.keeps_all(name, bytes);
        bytes.clear();
        bytes.shrink_to(MAX_KEPT_BYTES);
        keeps
    })
}

#[cfg(test)]
mod tests;

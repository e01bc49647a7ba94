//! Makes the read model anew from the events.
//!
//! It is rewritten in place, a batch of orders in each unit of work: readers see every order either as it was or as its events
//! say, and writers go on. Nothing has to be swapped at the end, and a rebuild that breaks off has done what it has done.

use std::collections::HashSet;

use chassis::{
    db::{Db, Error, Tx},
    outbox,
};
use uuid::Uuid;

use super::{history, orders, record};

/// Orders of one unit of work: others wait for their turn behind it.
const BATCH_ORDERS: u64 = 100;

/// How far a rebuild has come, and what it has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Orders that were made anew.
    pub orders: u64,
    /// Of these, the ones that the read model had wrong or not at all.
    pub corrected: u64,
    /// Rows that belonged to no order and are gone.
    pub removed: u64,
    /// The last order so far; nil before the first.
    pub last: Uuid,
    /// Whether that was all.
    pub done: bool,
}

impl Progress {
    /// The start of a rebuild that passes over orders up to `after`.
    pub fn behind(after: Uuid) -> Self {
        Self {
            last: after,
            ..Self::default()
        }
    }
}

/// Makes the next batch of orders anew.
///
/// # Errors
/// The database's own; [`Error::Corrupt`] where the events of an order cannot be read: the rebuild stops before its batch.
pub async fn step(db: &Db, so_far: Progress) -> Result<Progress, Error> {
    db.write(|tx| async move { batch(&tx, so_far).await }).await
}

async fn batch(tx: &Tx, so_far: Progress) -> Result<Progress, Error> {
    let after = match so_far.last {
        last if last.is_nil() => String::new(),
        last => last.to_string(),
    };
    let ids = outbox::aggregates(tx, &after, BATCH_ORDERS).await?;
    let ids = ids
        .iter()
        .map(|id| record::id(id))
        .collect::<Result<Vec<_>, _>>()?;
    let done = (ids.len() as u64) < BATCH_ORDERS;
    let last = match ids.last() {
        Some(last) if !done => *last,
        _ => Uuid::max(),
    };
    // Rows before events: whoever changes an order of this batch does so before, and is read, or after, and knows better.
    let rows = orders::locked(tx, so_far.last, last).await?;
    let mut progress = Progress {
        done,
        last: ids.last().copied().unwrap_or(so_far.last),
        ..so_far
    };
    let known: HashSet<_> = ids.iter().collect();
    let strangers: Vec<_> = rows
        .keys()
        .filter(|id| !known.contains(id))
        .copied()
        .collect();
    orders::remove(tx, &strangers).await?;
    progress.removed += strangers.len() as u64;
    for id in &ids {
        let Some(order) = history::load(tx, *id).await? else {
            continue;
        };
        progress.orders += 1;
        if rows.get(id) != Some(&order) {
            orders::remove(tx, &[*id]).await?;
            orders::insert(tx, &order).await?;
            progress.corrected += 1;
        }
    }
    Ok(progress)
}

//! Transactions that the consumers of a process share on PostgreSQL.
//!
//! Events that wait for their turn at the same time are claimed by one statement. Their units of work run one after another,
//! each in its caller's task, and share one COMMIT. An event alone takes three round trips more.
//!
//! There are no savepoints. Where anything goes wrong (a unit fails, panics or takes too long, its caller goes away, a lock is
//! not to be had, the commit fails) the whole batch is undone, and each of its units runs once more alone, as if there were no
//! batches. Only what becomes of it then counts: a unit may have failed by what others did before it in the batch.

mod worker;

use std::{
    collections::VecDeque,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures::FutureExt as _;
use sea_orm::sqlx::postgres::PgConnectOptions;
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{
    pool::Pool,
    tx::{Notes, Tx},
};
use worker::Worker;

/// Most units of a batch.
const MAX_UNITS: usize = 64;
/// Longest wait for a row lock in a batch, in milliseconds. Shorter than the second after which PostgreSQL looks for
/// deadlocks: of a unit alone and a batch it is the batch that gives way.
const LOCK_TIMEOUT_MS: u32 = 250;
/// Events of which it is remembered that they did harm to a batch.
const MAX_HARMFUL: usize = 256;

/// A consumer's claim of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Claim {
    pub(super) consumer: String,
    pub(super) event_id: Uuid,
    /// The replica's turn as the one that consumes.
    pub(super) epoch: i64,
}

/// The shared transactions of one database.
pub(super) struct Batches {
    queue: mpsc::Sender<Waiting>,
    under_way: Arc<AtomicUsize>,
    /// Events whose units failed in a batch. They run alone when they come again.
    harmful: Mutex<VecDeque<Uuid>>,
    worker: JoinHandle<()>,
}

/// A claim that is under way, alone or not.
pub(super) struct UnderWay {
    count: Arc<AtomicUsize>,
    pub(super) is_only: bool,
}

/// A unit that waits for its turn. Dropped without one it runs alone.
struct Waiting {
    claim: Claim,
    turn: oneshot::Sender<Turn>,
}

/// A unit's turn in a batch that holds its claim.
struct Turn {
    tx: Tx,
    notes: Arc<Notes>,
    /// Said when the unit has ended well; dropped otherwise.
    ended: oneshot::Sender<()>,
    /// Becomes true with the commit; closed where there is none.
    kept: watch::Receiver<bool>,
}

impl Batches {
    pub(super) fn start(options: PgConnectOptions) -> Self {
        let options = options.options([("lock_timeout", LOCK_TIMEOUT_MS.to_string())]);
        let (queue, waiting) = mpsc::channel(MAX_UNITS);
        let worker = Worker::new(Pool::new(options, 1, "ROLLBACK"));
        Self {
            queue,
            under_way: Arc::default(),
            harmful: Mutex::default(),
            worker: tokio::spawn(worker.run(waiting)),
        }
    }

    /// Counts a claim until the value is dropped.
    pub(super) fn enter(&self) -> UnderWay {
        UnderWay {
            is_only: self.under_way.fetch_add(1, Relaxed) == 0,
            count: self.under_way.clone(),
        }
    }

    /// Runs a unit in a batch and answers once the disk has it; `None` where it must run alone.
    pub(super) async fn write<T, E, F, Fut>(
        &self,
        claim: &Claim,
        unit: &mut F,
    ) -> Option<(T, Arc<Notes>)>
    where
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if self.is_harmful(claim.event_id) {
            return None;
        }
        let (turn, given) = oneshot::channel();
        let claim = claim.clone();
        let event_id = claim.event_id;
        self.queue.send(Waiting { claim, turn }).await.ok()?;
        let mut turn = given.await.ok()?;
        // A panic counts as a failure here; alone it is the caller's.
        let result = AssertUnwindSafe(async { unit(turn.tx).await })
            .catch_unwind()
            .await;
        turn.notes.end();
        let Ok(Ok(value)) = result else {
            self.note_harmful(event_id);
            return None;
        };
        turn.ended.send(()).ok()?;
        turn.kept.wait_for(|kept| *kept).await.ok()?;
        Some((value, turn.notes))
    }

    fn is_harmful(&self, event_id: Uuid) -> bool {
        let harmful = self.harmful.lock();
        harmful
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&event_id)
    }

    fn note_harmful(&self, event_id: Uuid) {
        let mut harmful = self.harmful.lock().unwrap_or_else(PoisonError::into_inner);
        harmful.push_back(event_id);
        if harmful.len() > MAX_HARMFUL {
            harmful.pop_front();
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Relaxed);
    }
}

//! Transactions that the consumers of a process share on PostgreSQL.
//!
//! Events that wait for their turn at the same time are claimed by one statement. Their units of work run one after another,
//! each in its caller's task, and share one COMMIT. An event alone takes three round trips more.
//!
//! There are no savepoints. Where anything goes wrong (a unit fails, panics or takes too long, its caller goes away, a lock is
//! not to be had, the commit fails) the whole batch is undone, and each of its units runs once more alone, as if there were no
//! batches. Only what becomes of it then counts: a unit may have failed by what others did before it in the batch.

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use sea_orm::{DbBackend, DbErr, Statement, sqlx::postgres::PgConnectOptions};
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

use super::{
    error,
    link::Link,
    metrics,
    pool::Pool,
    tx::{Notes, Tx},
};
use crate::clock;

/// Most units of a batch.
const MAX_UNITS: usize = 64;
/// Age of a batch from which on no further unit begins in it: its locks are held until it ends.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// Longest time of one unit in a batch.
const UNIT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait for a row lock in a batch, in milliseconds. Shorter than the second after which PostgreSQL looks for
/// deadlocks: of a unit alone and a batch it is the batch that gives way.
const LOCK_TIMEOUT_MS: u32 = 250;
/// How long a transaction waits for the batch that it began ahead of.
const BEGUN_FOR: Duration = Duration::from_millis(20);
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
        let worker = Worker {
            pool: Pool::new(options, 1, "ROLLBACK"),
            link: None,
            begun: false,
        };
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

/// Runs batches, one after another: of one process no two batches ever wait for each other.
struct Worker {
    pool: Arc<Pool>,
    /// `None` before the first batch and after a failure.
    link: Option<Arc<Link>>,
    /// The transaction of the next batch began with the COMMIT of the last one.
    begun: bool,
}

/// Why a batch is undone.
enum Undone {
    /// A unit did not end well.
    Unit,
    Database(DbErr),
}

impl From<DbErr> for Undone {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl Worker {
    async fn run(mut self, mut queue: mpsc::Receiver<Waiting>) {
        let mut most = MAX_UNITS;
        loop {
            let next = match self.begun {
                true => timeout(BEGUN_FOR, queue.recv()).await,
                false => Ok(queue.recv().await),
            };
            let first = match next {
                Ok(Some(first)) => first,
                Ok(None) => return,
                Err(_) => {
                    self.roll_back().await;
                    continue;
                }
            };
            let mut waiting = vec![first];
            while waiting.len() < most
                && let Ok(next) = queue.try_recv()
            {
                waiting.push(next);
            }
            if most == 1 && !self.begun {
                // After much harm: it runs alone, and the next batch may be larger again.
                most = 2;
                continue;
            }
            // Also of one, so that those who come meanwhile share the next one.
            let kept = self.batch(waiting, || !queue.is_empty()).await;
            most = match kept {
                true => MAX_UNITS.min(most * 2),
                false => (most / 4).max(1),
            };
        }
    }

    /// Runs a batch. Whether it was kept.
    async fn batch(&mut self, waiting: Vec<Waiting>, more: impl Fn() -> bool) -> bool {
        // Dropped at the end: until then those who wait do not run alone.
        let kept = watch::Sender::new(false);
        let done = match self.link().await {
            Ok(link) => self.units(&link, waiting, &kept, more).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(units) => {
                kept.send_replace(true);
                metrics::commit();
                (0..units).for_each(|_| metrics::unit());
                true
            }
            Err(undone) => {
                if let Undone::Database(error) = undone {
                    tracing::debug!(%error, "a batch of events was undone; each is handled alone");
                }
                self.roll_back().await;
                false
            }
        }
    }

    /// Runs units up to their commit. How many.
    async fn units(
        &mut self,
        link: &Arc<Link>,
        waiting: Vec<Waiting>,
        kept: &watch::Sender<bool>,
        more: impl Fn() -> bool,
    ) -> Result<u64, Undone> {
        let claims: Vec<_> = waiting.iter().map(|unit| &unit.claim).collect();
        let mut claimed = claim_all(link, &claims).await?;
        let (mut units, mut left) = (0, Vec::new());
        let began = Instant::now();
        for Waiting { claim, turn } in waiting {
            // Handled before, or another replica's now: alone it finds out.
            if !claimed.remove(&(claim.consumer.clone(), claim.event_id)) {
                continue;
            }
            let (tx, notes) = Tx::claimed(link.clone());
            let (ended, end) = oneshot::channel();
            let is_late = began.elapsed() > BATCH_TIME;
            let given = Turn {
                tx,
                notes: notes.clone(),
                ended,
                kept: kept.subscribe(),
            };
            // Its caller may have gone away while it waited.
            if is_late || turn.send(given).is_err() {
                left.push(claim);
                continue;
            }
            let ended = timeout(UNIT_TIMEOUT, end).await;
            notes.end();
            if !matches!(ended, Ok(Ok(()))) || notes.failed() {
                return Err(Undone::Unit);
            }
            units += 1;
        }
        if !left.is_empty() {
            give_up(link, &left).await?;
        }
        let begin_next = more();
        let commit = match begin_next {
            true => "COMMIT AND CHAIN",
            false => "COMMIT",
        };
        link.execute_unprepared(commit).await?;
        self.begun = begin_next;
        Ok(units)
    }

    /// The connection, in a transaction.
    async fn link(&mut self) -> Result<Arc<Link>, DbErr> {
        if let Some(link) = &self.link {
            if self.begun {
                return Ok(link.clone());
            }
            match link.execute_unprepared("BEGIN").await {
                Ok(_) => return Ok(link.clone()),
                Err(error) if error::is_connection_broken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        self.link = None;
        let link = Arc::new(Link::postgres(self.pool.connect().await?));
        link.execute_unprepared("BEGIN").await?;
        Ok(self.link.insert(link).clone())
    }

    async fn roll_back(&mut self) {
        self.begun = false;
        if let Some(link) = self.link.take()
            && link.execute_unprepared("ROLLBACK").await.is_ok()
        {
            self.link = Some(link);
        }
    }
}

/// Claims events, and answers which were new. One parameter, so that the statement is the same for any number of them and
/// stays prepared.
async fn claim_all(link: &Link, claims: &[&Claim]) -> Result<HashSet<(String, Uuid)>, DbErr> {
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "INSERT INTO inbox (consumer, event_id, handled_at_us) SELECT consumer, event_id, $2 \
         FROM json_to_recordset($1::json) AS claim (consumer text, event_id uuid, epoch bigint) \
         WHERE NOT EXISTS (SELECT 1 FROM consumers WHERE consumers.consumer = claim.consumer AND consumers.epoch > claim.epoch) \
         ON CONFLICT DO NOTHING RETURNING consumer, event_id",
        [as_json(claims).into(), clock::now_us().into()],
    );
    let rows = link.query(statement).await?.into_iter();
    rows.map(|row| Ok((row.try_get("", "consumer")?, row.try_get("", "event_id")?)))
        .collect()
}

/// Takes claims back.
async fn give_up(link: &Link, claims: &[Claim]) -> Result<(), DbErr> {
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "DELETE FROM inbox USING json_to_recordset($1::json) AS claim (consumer text, event_id uuid) \
         WHERE inbox.consumer = claim.consumer AND inbox.event_id = claim.event_id",
        [as_json(&claims.iter().collect::<Vec<_>>()).into()],
    );
    link.execute(statement).await.map(drop)
}

fn as_json(claims: &[&Claim]) -> String {
    // Texts and numbers always serialise.
    serde_json::to_string(claims).unwrap_or_default()
}

//! Group commit for SQLite: units of work that wait at the same time share one transaction and one fsync.
//!
//! Each unit runs in its caller's task, in a SAVEPOINT, while it holds the turn. The committer asks for the
//! turn after the first unit of a batch; since turns are given in order, everybody who waited by then gets
//! into the batch. It lets those pass who came in the meantime: callers whom one commit has answered come back
//! one by one, and a commit for the first of them would let the others wait for two. Whoever comes during the
//! fsync is in the next batch.
//!
//! A caller may go away at any await. What its unit left is undone by whoever has the turn next. Where that
//! is not possible for certain, the whole batch fails and the connection is opened anew: nobody is told that
//! something was kept which was not.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, ConnectOptions as _, sqlite::SqliteConnectOptions},
};
use tokio::{
    sync::{Mutex, MutexGuard, Notify, Semaphore, watch},
    task::JoinHandle,
};

use super::{
    Error,
    checkpoint::Checkpoints,
    error,
    link::{Before, Link},
    metrics,
    tx::{Notes, Tx},
};

/// Most units that wait or run at a time; further ones are refused as overload.
const MAX_QUEUED_UNITS: usize = 4096;
/// Longest time of one unit; a longer one is rolled back, since everybody behind it waits.
const UNIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Age of a batch from which on nobody else gets into it: those in it have waited long enough.
const BATCH_TIME: Duration = Duration::from_millis(20);

type Outcome = Option<Result<(), Arc<DbErr>>>;

/// Who may use the connection.
struct Turns {
    turn: Mutex<Turn>,
    /// Units that wait for it.
    waiting: AtomicUsize,
}

/// What belongs to whoever has the turn.
struct Turn {
    options: SqliteConnectOptions,
    /// `None` after a failure, until the next batch opens it anew.
    link: Option<Arc<Link>>,
    /// What becomes of the open transaction that units join.
    batch: Option<watch::Sender<Outcome>>,
    batch_began: Instant,
    /// A unit has begun in the batch and not ended: behind which savepoint.
    unit: Option<Savepoint>,
    /// The savepoint behind which the last unit that is kept or undone stands.
    last: Option<(Savepoint, Behind)>,
    checkpoints: Checkpoints,
}

/// The savepoints of a batch take turns. One is released when the next one is made, in one message with the next unit's first
/// statement. They have two names, so that undoing a unit can never undo the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Savepoint {
    Even,
    Odd,
}

/// What stands behind a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    KeptUnit,
}

/// The one writer of a SQLite database.
pub(super) struct Writer {
    turns: Arc<Turns>,
    places: Semaphore,
    due: Arc<Notify>,
    committer: JoinHandle<()>,
}

impl Writer {
    /// Writes through connections that are opened with `options`, one at a time.
    pub(super) fn start(options: SqliteConnectOptions, checkpoints: Checkpoints) -> Self {
        let turn = Mutex::new(Turn {
            options,
            link: None,
            batch: None,
            batch_began: Instant::now(),
            unit: None,
            last: None,
            checkpoints,
        });
        let turns = Arc::new(Turns {
            turn,
            waiting: AtomicUsize::new(0),
        });
        let due = Arc::new(Notify::new());
        let committer = tokio::spawn(commit_batches(turns.clone(), due.clone()));
        Self {
            turns,
            places: Semaphore::new(MAX_QUEUED_UNITS),
            due,
            committer,
        }
    }

    /// Runs one unit and answers once the disk has it, or with the unit's own error once it is undone.
    pub(super) async fn write<T, E, F, Fut>(&self, mut unit: F) -> Result<(T, Arc<Notes>), E>
    where
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let _place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        let mut turn = self.turns.next().await;
        turn.undo_abandoned_unit().await;
        // Whatever becomes of this unit, its batch must be ended.
        self.due.notify_one();
        let (link, mut outcome) = turn.batch().await.map_err(Error::from)?;
        turn.begin_unit(&link).await;
        let (tx, notes) = Tx::new(link.clone());
        let result = tokio::time::timeout(UNIT_TIMEOUT, unit(tx)).await;
        notes.end();
        let value = match result {
            Ok(Ok(value)) => value,
            failed => {
                turn.undo_unit(&link).await;
                return match failed {
                    Ok(Err(error)) => Err(error),
                    _ => Err(Error::TooSlow.into()),
                };
            }
        };
        turn.keep_unit(&link).await;
        metrics::unit();
        drop((turn, link));

        let settled = outcome
            .wait_for(Option::is_some)
            .await
            .map(|outcome| (*outcome).clone());
        match settled {
            Ok(Some(Ok(()))) => Ok((value, notes)),
            Ok(Some(Err(error))) => Err(Error::Commit(error).into()),
            Ok(None) | Err(_) => {
                Err(Error::Database(DbErr::Custom("the writer stopped".into())).into())
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.committer.abort();
    }
}

impl Turns {
    /// Waits for the turn of a unit.
    async fn next(&self) -> MutexGuard<'_, Turn> {
        let _waiting = Waiting::among(&self.waiting);
        self.turn.lock().await
    }

    /// Waits for the turn of the commit: behind all units that wait, as long as the batch is young.
    async fn last(&self) -> MutexGuard<'_, Turn> {
        loop {
            let turn = self.turn.lock().await;
            if self.waiting.load(Relaxed) == 0 || turn.batch_began.elapsed() >= BATCH_TIME {
                return turn;
            }
        }
    }
}

/// Counts one that waits, until it has the turn or goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Savepoint {
    /// What begins a unit behind this savepoint, and ends the one before.
    fn begin(self, last: Option<Savepoint>) -> Before {
        let (sql, statements) = match (self, last) {
            (Self::Even, None) => ("SAVEPOINT even; ", 1),
            (Self::Odd, None) => ("SAVEPOINT odd; ", 1),
            (Self::Even, Some(_)) => ("RELEASE odd; SAVEPOINT even; ", 2),
            (Self::Odd, Some(_)) => ("RELEASE even; SAVEPOINT odd; ", 2),
        };
        Before { sql, statements }
    }

    fn undo(self) -> &'static str {
        match self {
            Self::Even => "ROLLBACK TO even",
            Self::Odd => "ROLLBACK TO odd",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

impl Turn {
    /// The connection with the open batch, or a new one, and what will become of it.
    async fn batch(&mut self) -> Result<(Arc<Link>, watch::Receiver<Outcome>), DbErr> {
        let link = match &self.link {
            Some(link) => link.clone(),
            None => {
                let failed = |error: sqlx::Error| DbErr::Conn(RuntimeErr::SqlxError(error.into()));
                let connection = self.options.connect().await.map_err(failed)?;
                self.link.insert(Arc::new(Link::sqlite(connection))).clone()
            }
        };
        if let Some(outcome) = &self.batch {
            return Ok((link, outcome.subscribe()));
        }
        let outcome = self.batch.insert(watch::Sender::new(None)).subscribe();
        self.batch_began = Instant::now();
        (self.unit, self.last) = (None, None);
        // Of a caller who goes away here the committer ends what has begun.
        if let Err(error) = link.execute_unprepared("BEGIN IMMEDIATE").await {
            self.batch = None;
            return Err(error);
        }
        Ok((link, outcome))
    }

    async fn begin_unit(&mut self, link: &Link) {
        let savepoint = match self.last {
            // Nothing was written behind it: it serves once more.
            Some((savepoint, Behind::Nothing)) => savepoint,
            Some((savepoint, Behind::KeptUnit)) => {
                let next = savepoint.next();
                link.before_next(next.begin(Some(savepoint))).await;
                next
            }
            None => {
                link.before_next(Savepoint::Even.begin(None)).await;
                Savepoint::Even
            }
        };
        self.unit = Some(savepoint);
    }

    async fn keep_unit(&mut self, link: &Link) {
        // A unit without statements made no savepoint.
        if let Some(savepoint) = self.unit.take()
            && !link.take_before().await
        {
            self.last = Some((savepoint, Behind::KeptUnit));
        }
    }

    /// The unit's own error says more than one from here, which the batch keeps.
    async fn undo_unit(&mut self, link: &Link) {
        // Whoever goes away here leaves it to the next one, who may do it once more.
        let Some(savepoint) = self.unit else { return };
        if link.take_before().await {
            self.unit = None;
            return;
        }
        match link.execute_unprepared(savepoint.undo()).await {
            Ok(_) => {
                (self.unit, self.last) = (None, Some((savepoint, Behind::Nothing)));
            }
            // Its caller went away before it was made: nothing was written behind it, and the one before may be gone or not.
            // Both end with the transaction, which is due anyway.
            Err(error) if error::is_no_such_savepoint(&error) => {
                self.unit = None;
                self.end_batch(link).await;
            }
            Err(error) => self.fail_batch(Arc::new(error)),
        }
    }

    async fn undo_abandoned_unit(&mut self) {
        if let (Some(_), Some(link)) = (self.unit, self.link.clone()) {
            self.undo_unit(&link).await;
        }
    }

    /// Tells every unit of the batch that it is not kept, and leaves the connection to the engine to undo.
    fn fail_batch(&mut self, error: Arc<DbErr>) {
        tracing::error!(
            error = &*error as &dyn std::error::Error,
            "a batch of units of work failed"
        );
        (self.unit, self.link) = (None, None);
        if let Some(outcome) = self.batch.take() {
            outcome.send_replace(Some(Err(error)));
        }
    }

    async fn commit(&mut self) {
        self.undo_abandoned_unit().await;
        if let (Some(link), true) = (self.link.clone(), self.batch.is_some()) {
            self.end_batch(&link).await;
        }
    }

    async fn end_batch(&mut self, link: &Link) {
        let result = link.execute_patiently("COMMIT").await;
        metrics::commit();
        match result {
            Ok(_) => {
                if let Some(outcome) = self.batch.take() {
                    outcome.send_replace(Some(Ok(())));
                }
                self.checkpoints.committed();
            }
            Err(error) => self.fail_batch(Arc::new(error)),
        }
    }
}

async fn commit_batches(turns: Arc<Turns>, due: Arc<Notify>) {
    loop {
        due.notified().await;
        turns.last().await.commit().await;
    }
}

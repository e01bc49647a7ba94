//! Group commit for SQLite: units of work that wait at the same time share one transaction and one fsync.
//!
//! Each unit runs in its caller's task, in a SAVEPOINT, while it holds the turn. The committer asks for the
//! turn after the first unit of a batch; since turns are given in order, everybody who waited by then gets
//! into the batch, and whoever comes during the fsync is in the next one.
//!
//! A caller may go away at any await. What its unit left is undone by whoever has the turn next. Where that
//! is not possible for certain, the whole batch fails and the connection is opened anew: nobody is told that
//! something was kept which was not.

use std::{future::Future, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::{
    sync::{Mutex, Notify, Semaphore, watch},
    task::JoinHandle,
};

use super::{
    Error, metrics,
    tx::{Notes, Tx},
};

/// Most units that wait or run at a time; further ones are refused as overload.
const MAX_QUEUED_UNITS: usize = 4096;
/// Longest time of one unit; a longer one is rolled back, since everybody behind it waits.
const UNIT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for a broken connection to close before it is left to itself.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Outcome = Option<Result<(), Arc<DbErr>>>;

/// The open transaction that units join.
struct Batch {
    transaction: Arc<DatabaseTransaction>,
    outcome: watch::Sender<Outcome>,
}

/// What belongs to whoever has the turn.
struct Turn {
    /// For a pool of one: the transaction lives on its connection.
    options: ConnectOptions,
    /// `None` after a failure, until the next batch opens it anew.
    connection: Option<DatabaseConnection>,
    batch: Option<Batch>,
    /// Whether a unit has begun in the batch and not ended: its caller has gone away.
    unit_open: bool,
    /// The savepoint in the batch that the next unit begins behind.
    savepoint: Savepoint,
}

/// The one savepoint of a batch. It is not released after each unit: that would be one more message to the driver's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Savepoint {
    /// There is none.
    None,
    /// Nothing was written behind it.
    Clean,
    /// A unit that is kept stands behind it.
    Kept,
}

/// The one writer of a SQLite database.
pub(super) struct Writer {
    turn: Arc<Mutex<Turn>>,
    places: Semaphore,
    due: Arc<Notify>,
    committer: JoinHandle<()>,
}

impl Writer {
    /// `connection` is a pool of one, opened with `options`.
    pub(super) fn start(connection: DatabaseConnection, options: ConnectOptions) -> Self {
        let turn = Arc::new(Mutex::new(Turn {
            options,
            connection: Some(connection),
            batch: None,
            unit_open: false,
            savepoint: Savepoint::None,
        }));
        let due = Arc::new(Notify::new());
        let committer = tokio::spawn(commit_batches(turn.clone(), due.clone()));
        Self {
            turn,
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
        let mut turn = self.turn.lock().await;
        turn.undo_abandoned_unit().await;
        let (transaction, mut outcome) = turn.batch().await.map_err(Error::from)?;
        // The batch is open: it must be ended, whatever becomes of this unit.
        self.due.notify_one();
        let (tx, notes) = Tx::new(transaction);
        turn.begin_unit().await?;
        let value = match tokio::time::timeout(UNIT_TIMEOUT, unit(tx)).await {
            Ok(Ok(value)) => value,
            failed => {
                turn.undo_unit().await;
                return match failed {
                    Ok(Err(error)) => Err(error),
                    _ => Err(Error::TooSlow.into()),
                };
            }
        };
        turn.keep_unit();
        metrics::unit();
        drop(turn);

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

impl Turn {
    /// The open batch, or a new one, and what will become of it.
    async fn batch(
        &mut self,
    ) -> Result<(Arc<DatabaseTransaction>, watch::Receiver<Outcome>), DbErr> {
        if self.batch.is_none() {
            let connection = match &self.connection {
                Some(connection) => connection,
                None => {
                    let connection = Database::connect(self.options.clone()).await?;
                    self.connection.insert(connection)
                }
            };
            let immediate = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            };
            let transaction = Arc::new(connection.begin_with_options(immediate).await?);
            self.savepoint = Savepoint::None;
            self.batch = Some(Batch {
                transaction,
                outcome: watch::Sender::new(None),
            });
        }
        let batch = self.batch.as_ref().expect("made above");
        Ok((batch.transaction.clone(), batch.outcome.subscribe()))
    }

    /// Raw savepoints: a nested transaction of the driver that is dropped half-way would undo the whole batch.
    async fn begin_unit(&mut self) -> Result<(), Error> {
        // A caller who goes away in between leaves a savepoint or none: `None` is what to find out from.
        let sql = match std::mem::replace(&mut self.savepoint, Savepoint::None) {
            Savepoint::None => "SAVEPOINT unit",
            Savepoint::Kept => "RELEASE unit; SAVEPOINT unit",
            Savepoint::Clean => {
                (self.savepoint, self.unit_open) = (Savepoint::Clean, true);
                return Ok(());
            }
        };
        self.unit_open = true;
        self.in_batch(sql).await?;
        self.savepoint = Savepoint::Clean;
        Ok(())
    }

    fn keep_unit(&mut self) {
        (self.savepoint, self.unit_open) = (Savepoint::Kept, false);
    }

    /// The unit's own error says more than one from here, which the batch keeps.
    async fn undo_unit(&mut self) {
        if self.savepoint == Savepoint::None {
            // Its caller went away while the savepoint was made, which may or may not have been: nothing was written. The
            // last unit that is kept must not be undone.
            let _ = self.in_batch("SAVEPOINT unit").await;
        } else {
            // Whoever goes away here leaves it to the next one, who may do it once more.
            let _ = self.in_batch("ROLLBACK TO unit").await;
        }
        (self.savepoint, self.unit_open) = (Savepoint::Clean, false);
    }

    async fn undo_abandoned_unit(&mut self) {
        if self.unit_open {
            self.undo_unit().await;
        }
    }

    /// Runs a statement in the open batch. Where it fails, nobody knows what the batch holds: it fails as a whole.
    async fn in_batch(&mut self, sql: &str) -> Result<(), Error> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        let Err(error) = batch.transaction.execute_unprepared(sql).await else {
            return Ok(());
        };
        let error = Arc::new(error);
        self.fail_batch(error.clone()).await;
        Err(Error::Commit(error))
    }

    /// Tells every unit of the batch that it is not kept, and leaves the connection to the engine to undo.
    async fn fail_batch(&mut self, error: Arc<DbErr>) {
        tracing::error!(
            error = &*error as &dyn std::error::Error,
            "a batch of units of work failed"
        );
        self.unit_open = false;
        if let Some(Batch {
            transaction,
            outcome,
        }) = self.batch.take()
        {
            drop(transaction);
            outcome.send_replace(Some(Err(error)));
        }
        // The driver's count of open transactions may be wrong by now; a new connection begins at none.
        if let Some(connection) = self.connection.take() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, connection.close()).await;
        }
    }

    async fn commit(&mut self) {
        self.undo_abandoned_unit().await;
        let Some(Batch {
            transaction,
            outcome,
        }) = self.batch.take()
        else {
            return;
        };
        let result = match Arc::into_inner(transaction) {
            Some(transaction) => transaction.commit().await,
            None => Err(DbErr::Custom("a unit of work kept its transaction".into())),
        };
        metrics::commit();
        match result {
            Ok(()) => drop(outcome.send_replace(Some(Ok(())))),
            Err(error) => {
                let error = Arc::new(error);
                outcome.send_replace(Some(Err(error.clone())));
                self.fail_batch(error).await;
            }
        }
    }
}

async fn commit_batches(turn: Arc<Mutex<Turn>>, due: Arc<Notify>) {
    loop {
        due.notified().await;
        turn.lock().await.commit().await;
    }
}

//! Group commit for SQLite: units of work that wait at the same time share one transaction and one fsync.
//!
//! Each unit runs in its caller's task, in a SAVEPOINT, while it holds the turn. The committer asks for the
//! turn after the first unit of a batch; since turns are given in order, everybody who waited by then gets
//! into the batch, and whoever comes during the fsync is in the next one.

use std::{future::Future, sync::Arc, time::Duration};

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
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

type Outcome = Option<Result<(), Arc<DbErr>>>;

/// The open transaction that units join.
struct Batch {
    transaction: DatabaseTransaction,
    outcome: watch::Sender<Outcome>,
}

struct Turn {
    connection: DatabaseConnection,
    batch: Option<Batch>,
}

/// The one writer of a SQLite database.
pub(super) struct Writer {
    turn: Arc<Mutex<Turn>>,
    places: Semaphore,
    due: Arc<Notify>,
    committer: JoinHandle<()>,
}

impl Writer {
    /// `connection` must be a pool of one: the transaction lives on it.
    pub(super) fn start(connection: DatabaseConnection) -> Self {
        let turn = Arc::new(Mutex::new(Turn {
            connection,
            batch: None,
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
        let batch = turn.batch().await.map_err(Error::from)?;
        // The batch is open: it must be ended, whatever becomes of this unit.
        self.due.notify_one();
        let mut outcome = batch.outcome.subscribe();
        let savepoint = batch.transaction.begin().await.map_err(Error::from)?;
        let (tx, notes) = Tx::new(savepoint);
        let result = tokio::time::timeout(UNIT_TIMEOUT, unit(tx.clone())).await;
        let savepoint = tx
            .into_inner()
            .ok_or_else(|| Error::Corrupt("a unit of work kept its transaction".into()))?;
        let value = match result {
            Ok(Ok(value)) => value,
            failed => {
                savepoint.rollback().await.map_err(Error::from)?;
                return match failed {
                    Ok(Err(error)) => Err(error),
                    _ => Err(Error::TooSlow.into()),
                };
            }
        };
        savepoint.commit().await.map_err(Error::from)?;
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
    /// The open batch, or a new one.
    async fn batch(&mut self) -> Result<&Batch, DbErr> {
        if self.batch.is_none() {
            let immediate = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            };
            let transaction = self.connection.begin_with_options(immediate).await?;
            self.batch = Some(Batch {
                transaction,
                outcome: watch::Sender::new(None),
            });
        }
        Ok(self.batch.as_ref().expect("made above"))
    }
}

async fn commit_batches(turn: Arc<Mutex<Turn>>, due: Arc<Notify>) {
    loop {
        due.notified().await;
        let mut turn = turn.lock().await;
        if let Some(Batch {
            transaction,
            outcome,
        }) = turn.batch.take()
        {
            let result = transaction.commit().await.map_err(Arc::new);
            if let Err(error) = &result {
                tracing::error!(%error, "commit failed");
            }
            metrics::commit();
            outcome.send_replace(Some(result));
        }
    }
}

//! Which replica of a service runs a consumer.
//!
//! The one that holds the consumer's lock, which ends with its process ([`Hold`]). A process that is stopped but not dead keeps
//! its lock: whoever waits for it asks it, by a row, whether it is there, and takes over where no answer comes in time. From
//! that commit on claims of the silent replica are refused by their epoch, so that it may wake up whenever it likes.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    time::Duration,
};

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};

use super::catch_up::Standing;
use crate::db::{Db, Error, Hold};

/// How often a replica looks whether it is asked, and whether it is still the one.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long a replica waits for its turn before it asks for the first time.
const ASK_AFTER: Duration = Duration::from_secs(5);
/// How long a replica may be silent.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Wait after a database that did not answer.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long a replica that was silent keeps away, so that its successor gets the lock.
pub(super) const STEP_BACK: Duration = Duration::from_secs(3);

/// A replica's turn to run a consumer.
pub(super) struct Turn<'a> {
    pub(super) db: &'a Db,
    pub(super) consumer: &'a str,
    /// `None` where a silent replica still has it.
    hold: Option<Hold>,
    /// The newest epoch that is ours, or that was there when the turn began.
    epoch: AtomicI64,
    has_begun: AtomicBool,
}

/// What stands about a turn.
#[derive(FromQueryResult)]
struct Row {
    epoch: i64,
    asked: i64,
    answered: i64,
}

impl<'a> Turn<'a> {
    /// Waits until it is this replica's turn.
    pub(super) async fn wait(db: &'a Db, consumer: &'a str) -> Self {
        let by_lock = async {
            let hold = db.hold(consumer).await;
            let row = until_answered(|| look(db, consumer)).await;
            (Some(hold), row.map_or(0, |row| row.epoch))
        };
        let (hold, epoch) = tokio::select! {
            locked = by_lock => locked,
            epoch = silence(db, consumer) => (None, epoch),
        };
        Self {
            db,
            consumer,
            hold,
            epoch: epoch.into(),
            has_begun: AtomicBool::new(false),
        }
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch.load(Relaxed)
    }

    /// Where the consumer stands. The first time the epoch is raised, and once in a turn only: what a session that broke has left
    /// in the queues is still claimed by it.
    ///
    /// # Errors
    /// [`Error::Superseded`] where another replica has taken over since, or the database's own.
    pub(super) async fn standing(&self) -> Result<Standing, Error> {
        if self.has_begun.load(Relaxed) {
            return Standing::at(self.db, self.consumer, self.epoch()).await;
        }
        let standing = Standing::take_over(self.db, self.consumer, self.epoch()).await?;
        self.epoch.store(standing.epoch, Relaxed);
        self.has_begun.store(true, Relaxed);
        Ok(standing)
    }

    /// Answers whoever asks, until the turn is over.
    pub(super) async fn lost(&self) {
        let lock = async {
            match &self.hold {
                Some(hold) => hold.lost().await,
                // The silent replica gives it back when it wakes up or dies.
                None => self.db.hold(self.consumer).await.lost().await,
            }
        };
        let mut lock = pin!(lock);
        loop {
            tokio::select! {
                () = &mut lock => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            match look(self.db, self.consumer).await {
                Ok(Some(row)) if row.epoch > self.epoch() => return,
                Ok(Some(row)) if row.asked != row.answered => {
                    // Where it fails it is tried again at the next look.
                    let _ = answer(self.db, self.consumer, self.epoch()).await;
                }
                _ => {}
            }
        }
    }
}

/// Waits until the replica that has the lock does not answer; then this one has taken over, with the epoch that is returned.
async fn silence(db: &Db, consumer: &str) -> i64 {
    tokio::time::sleep(ASK_AFTER).await;
    loop {
        let asked = until_answered(|| ask(db, consumer)).await;
        tokio::time::sleep(ANSWER_WITHIN).await;
        if let Some(epoch) = until_answered(|| depose(db, consumer, asked)).await {
            tracing::warn!(
                consumer,
                "the replica that consumes is silent; this one takes over"
            );
            return epoch;
        }
    }
}

/// Asks the database until it answers.
async fn until_answered<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => tracing::debug!(%error, "the turn of a consumer cannot be read"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn look(db: &Db, consumer: &str) -> Result<Option<Row>, Error> {
    let connection = db.read();
    let statement = Statement::from_sql_and_values(
        connection.get_database_backend(),
        "SELECT epoch, asked, answered FROM consumers WHERE consumer = $1",
        [consumer.into()],
    );
    Ok(Row::find_by_statement(statement).one(connection).await?)
}

/// Asks, once however many replicas do. Answers the number of the question.
async fn ask(db: &Db, consumer: &str) -> Result<i64, Error> {
    let sql = "INSERT INTO consumers (consumer, epoch, archive_position, asked) VALUES ($1, 0, 0, 1) \
               ON CONFLICT (consumer) DO UPDATE SET asked = consumers.answered + 1 RETURNING asked AS n";
    let asked = change(db, sql, [consumer.into()]).await?;
    asked.ok_or_else(|| Error::Corrupt("an upsert returned no row".into()))
}

async fn answer(db: &Db, consumer: &str, epoch: i64) -> Result<Option<i64>, Error> {
    let sql = "UPDATE consumers SET answered = asked WHERE consumer = $1 AND epoch = $2 RETURNING answered AS n";
    change(db, sql, [consumer.into(), epoch.into()]).await
}

/// Takes over unless the question was answered or another replica was faster. Answers the new epoch.
async fn depose(db: &Db, consumer: &str, asked: i64) -> Result<Option<i64>, Error> {
    let sql = "UPDATE consumers SET epoch = epoch + 1, answered = asked \
               WHERE consumer = $1 AND asked = $2 AND answered < $2 RETURNING epoch AS n";
    change(db, sql, [consumer.into(), asked.into()]).await
}

/// The `n` of the row that was changed.
async fn change<const N: usize>(
    db: &Db,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<Option<i64>, Error> {
    let values = &values;
    db.write(|tx| async move {
        let row = tx.query_one_raw(tx.statement(sql, values.clone())).await?;
        Ok(row.map(|row| row.try_get("", "n")).transpose()?)
    })
    .await
}

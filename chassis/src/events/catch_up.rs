//! Where a consumer stands in the history of its events, and how it catches up with what the stream no longer holds.

use async_nats::jetstream;
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use tokio_util::sync::CancellationToken;

use super::{
    archive::{Archive, Wanted},
    care::Care,
    queues::Queues,
    read, stream,
};
use crate::{
    clock,
    db::{Db, Error},
};

/// Added to a time that another machine's clock said.
const SLACK_US: i64 = 60 * 60 * 1_000_000;

/// What is stored about a consumer.
#[derive(Clone, Debug, FromQueryResult)]
pub(super) struct Standing {
    /// Counts the replicas that consumed, one after another.
    pub(super) epoch: i64,
    /// How far into the archive it came while it catches up for the first time.
    archive_position: i64,
    /// It has had every event that was sent until then; `None` until it has caught up once.
    complete_until_us: Option<i64>,
}

impl Standing {
    /// Makes this replica the one that consumes: claims of the one before are refused from now on. `epoch` is the newest that
    /// it knows.
    ///
    /// # Errors
    /// [`Error::Superseded`] where another one has taken over since, or the database's own.
    pub(super) async fn take_over(db: &Db, consumer: &str, epoch: i64) -> Result<Self, Error> {
        db.write(|tx| async move {
            let row = tx
                .query_one_raw(tx.statement(
                    "INSERT INTO consumers (consumer, epoch, archive_position) VALUES ($1, 1, 0) \
                     ON CONFLICT (consumer) DO UPDATE SET epoch = consumers.epoch + 1 WHERE consumers.epoch = $2 \
                     RETURNING epoch, archive_position, complete_until_us",
                    [consumer.into(), epoch.into()],
                ))
                .await?
                .ok_or(Error::Superseded)?;
            Ok(Self::from_query_result(&row, "")?)
        })
        .await
    }

    /// Where the consumer stands, as long as `epoch` is its newest.
    ///
    /// # Errors
    /// As [`Standing::take_over`].
    pub(super) async fn at(db: &Db, consumer: &str, epoch: i64) -> Result<Self, Error> {
        let connection = db.read();
        let statement = Statement::from_sql_and_values(
            connection.get_database_backend(),
            "SELECT epoch, archive_position, complete_until_us FROM consumers WHERE consumer = $1 AND epoch = $2",
            [consumer.into(), epoch.into()],
        );
        let standing = Self::find_by_statement(statement).one(connection).await?;
        standing.ok_or(Error::Superseded)
    }

    /// Notes that a process begins at `place`, with events in hand until `until`. Answers how many have begun one after
    /// another since what the first of them had in hand is not settled.
    pub(super) async fn begin_at(
        db: &Db,
        consumer: &str,
        place: i64,
        until: i64,
    ) -> Result<i64, Error> {
        db.write(|tx| async move {
            let row = tx
                .query_one_raw(tx.statement(
                    "UPDATE consumers SET beginnings = CASE WHEN $2 < unsettled_until THEN beginnings + 1 ELSE 1 END, \
                     unsettled_until = CASE WHEN $2 < unsettled_until THEN unsettled_until ELSE $3 END \
                     WHERE consumer = $1 RETURNING beginnings",
                    [consumer.into(), place.into(), until.into()],
                ))
                .await?
                .ok_or(Error::Superseded)?;
            Ok(row.try_get("", "beginnings")?)
        })
        .await
    }

    /// Whether the consumer has had everything from the beginning of history once.
    pub(super) fn is_complete(&self) -> bool {
        self.complete_until_us.is_some()
    }
}

/// Notes that the consumer has had everything that was sent until `until_us`, as long as `epoch` is its newest.
pub(super) async fn note_complete(
    db: &Db,
    consumer: &str,
    epoch: i64,
    until_us: i64,
) -> Result<(), Error> {
    let sql = "UPDATE consumers SET complete_until_us = $2, unsettled_until = NULL WHERE consumer = $1 AND epoch = $3";
    write(db, sql, consumer, until_us, epoch).await
}

async fn write(db: &Db, sql: &str, consumer: &str, value: i64, epoch: i64) -> Result<(), Error> {
    db.write(|tx| async move {
        let values = [consumer.into(), value.into(), epoch.into()];
        tx.execute_raw(tx.statement(sql, values)).await?;
        Ok(())
    })
    .await
}

/// Who catches up.
pub(super) struct CatchUp<'a> {
    pub(super) db: &'a Db,
    pub(super) archive: &'a Archive,
    pub(super) queues: &'a Queues,
    pub(super) durable: &'a str,
    pub(super) subject: &'a str,
    pub(super) cancel: &'a CancellationToken,
    pub(super) care: &'a Care,
}

impl CatchUp<'_> {
    /// Hands out what the archive has before position `before`: everything, or, for a consumer that had everything once, what
    /// was sent since.
    ///
    /// # Errors
    /// The publisher or the database does not answer, or the consumer was cancelled; what is left comes at the next try.
    pub(super) async fn run(
        &self,
        standing: &Standing,
        before: i64,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let began_us = clock::now_us();
        let wanted = Wanted {
            subject: self.subject.to_owned(),
            from_us: None,
            sent_from_us: standing.complete_until_us.map(|until| until - SLACK_US),
        };
        let (mut position, mut events) = (0, 0u64);
        if !standing.is_complete() {
            position = standing.archive_position;
        }
        self.care
            .begin_archive(self.db, self.durable, position)
            .await?;
        loop {
            let page = self.archive.page(&wanted, position).await?;
            for event in page.events {
                if event.position >= before {
                    break;
                }
                events += 1;
                if let Some(mut event) = read::archived(event, self.durable, Some(standing.epoch)) {
                    event.alone = self.care.of_archive();
                    self.queues.hand_out(event, None).await;
                }
            }
            self.queues.idle().await;
            if self.cancel.is_cancelled() {
                return Err("cancelled while catching up".into());
            }
            if page.next_position <= position || page.next_position >= before {
                break;
            }
            position = page.next_position;
            if !standing.is_complete() {
                let sql =
                    "UPDATE consumers SET archive_position = $2 WHERE consumer = $1 AND epoch = $3";
                write(self.db, sql, self.durable, position, standing.epoch).await?;
            }
        }
        note_complete(self.db, self.durable, standing.epoch, began_us).await?;
        if events > 0 {
            tracing::info!(
                consumer = self.durable,
                events,
                "caught up with events that the stream no longer holds"
            );
        }
        Ok(())
    }
}

/// Whether a consumer has had everything from the beginning of history, and nothing of the stream waits for it.
///
/// # Errors
/// The database's own. A broker that does not answer is not caught up with.
pub(crate) async fn is_caught_up(
    db: &Db,
    jetstream: &jetstream::Context,
    publisher: &str,
    consumer: &str,
) -> Result<bool, Error> {
    let connection = db.read();
    let complete = connection
        .query_one_raw(Statement::from_sql_and_values(
            connection.get_database_backend(),
            "SELECT epoch FROM consumers WHERE consumer = $1 AND complete_until_us IS NOT NULL",
            [consumer.into()],
        ))
        .await?;
    if complete.is_none() {
        return Ok(false);
    }
    let Ok(stream) = stream::ensure(jetstream, publisher).await else {
        return Ok(false);
    };
    let info = stream.consumer_info(consumer).await;
    Ok(info.is_ok_and(|info| info.num_pending == 0 && info.num_ack_pending == 0))
}

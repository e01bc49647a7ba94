//! Where a consumer stands in the history of its events, and how it catches up with what the stream no longer holds.

use async_nats::jetstream;
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use tokio_util::sync::CancellationToken;

use super::{
    archive::{Archive, Wanted},
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
    /// Makes this replica the one that consumes: claims of the one before are refused from now on.
    pub(super) async fn take_over(db: &Db, consumer: &str) -> Result<Self, Error> {
        db.write(|tx| async move {
            let row = tx
                .query_one_raw(tx.statement(
                    "INSERT INTO consumers (consumer, epoch, archive_position) VALUES ($1, 1, 0) \
                     ON CONFLICT (consumer) DO UPDATE SET epoch = consumers.epoch + 1 \
                     RETURNING epoch, archive_position, complete_until_us",
                    [consumer.into()],
                ))
                .await?
                .ok_or_else(|| Error::Corrupt("an upsert returned no row".into()))?;
            Ok(Self::from_query_result(&row, "")?)
        })
        .await
    }

    /// Whether the consumer has had everything from the beginning of history once.
    pub(super) fn is_complete(&self) -> bool {
        self.complete_until_us.is_some()
    }
}

/// Notes that the consumer has had everything that was sent until `until_us`.
pub(super) async fn note_complete(db: &Db, consumer: &str, until_us: i64) -> Result<(), Error> {
    let sql = "UPDATE consumers SET complete_until_us = $2 WHERE consumer = $1";
    write(db, sql, consumer, until_us).await
}

async fn write(db: &Db, sql: &str, consumer: &str, value: i64) -> Result<(), Error> {
    db.write(|tx| async move {
        tx.execute_raw(tx.statement(sql, [consumer.into(), value.into()]))
            .await?;
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
        loop {
            let page = self.archive.page(&wanted, position).await?;
            for event in page.events {
                if event.position >= before {
                    break;
                }
                events += 1;
                if let Some(event) = read::archived(event, self.durable, Some(standing.epoch)) {
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
                let sql = "UPDATE consumers SET archive_position = $2 WHERE consumer = $1";
                write(self.db, sql, self.durable, position).await?;
            }
        }
        note_complete(self.db, self.durable, began_us).await?;
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

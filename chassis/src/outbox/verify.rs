//! Compares the whole outbox with its stream.

use std::{collections::HashSet, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
    stream::Stream,
};
use contracts::caravan::ops::v1::{MissingEvent, VerifyEventsResponse};
use futures::{StreamExt as _, TryStreamExt as _};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use uuid::Uuid;

use super::loss::{Sent, is_ours, is_young};
use crate::{
    db::{Db, Error},
    events::{header, stream},
};

/// Rows and messages that are read at a time.
const PAGE: usize = 1_000;
/// Missing events that are named.
const MAX_NAMED: usize = 100;
/// How long the broker keeps the position of a comparison that was given up.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// Longest wait for the next messages.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[derive(FromQueryResult)]
struct Row {
    id: i64,
    event_id: Uuid,
    subject: String,
    aggregate_id: String,
    stream_seq: i64,
    sent_at_us: i64,
}

/// Looks for every event that the stream acknowledged and should still hold. With `repair` those that are missing are sent
/// again.
///
/// # Errors
/// Broker or database do not answer.
pub(crate) async fn verify(
    db: &Db,
    jetstream: &jetstream::Context,
    service: &str,
    repair: bool,
) -> Result<VerifyEventsResponse, BoxError> {
    let stream = stream::ensure(jetstream, service).await?;
    let state = stream.get_info().await?.state;
    let mut answer = VerifyEventsResponse {
        unsent: super::lag(db).await?.unsent,
        ..Default::default()
    };
    let mut lost = Vec::new();
    // Up to where both have been compared. Rows are read after the messages: what is published meanwhile has its message.
    let mut after = 0;
    let mut held = Held::open(&stream).await?;
    loop {
        let messages = held.next().await?;
        let until = match messages.last() {
            Some(last) if !held.is_over() => last.sequence,
            _ => u64::MAX,
        };
        let mut left: HashSet<_> = messages
            .into_iter()
            .map(|message| (message.sequence, message.event_id))
            .collect();
        for row in rows(db, after, until).await? {
            let sequence = row.stream_seq as u64;
            let mut is_held = left.remove(&(sequence, Some(row.event_id)));
            if !is_held && sequence > state.last_sequence {
                // Beyond the end as it was: it may have been published meanwhile.
                let sent = Sent {
                    event_id: row.event_id,
                    stream_seq: row.stream_seq,
                };
                is_held = is_ours(&stream, &sent).await?;
            }
            // By itself a stream removes from its beginning only what is too old.
            if !is_held && sequence < state.first_sequence && !is_young(row.sent_at_us) {
                continue;
            }
            answer.checked += 1;
            if !is_held {
                lost.push(row);
            }
        }
        answer.unknown += left.iter().filter(|(_, id)| id.is_none()).count() as i64;
        if until == u64::MAX {
            break;
        }
        after = until;
    }
    answer.missing_count = lost.len() as i64;
    if repair {
        answer.repaired = send_again(db, &lost).await?;
    }
    answer.missing = lost.into_iter().take(MAX_NAMED).map(Row::named).collect();
    Ok(answer)
}

impl Row {
    fn named(self) -> MissingEvent {
        MissingEvent {
            position: self.id,
            event_id: self.event_id.to_string(),
            subject: self.subject,
            aggregate_id: self.aggregate_id,
            stream_sequence: self.stream_seq as u64,
        }
    }
}

/// Rows that were acknowledged behind `after`, up to `until`, and are young enough for a stream.
async fn rows(db: &Db, after: u64, until: u64) -> Result<Vec<Row>, Error> {
    let connection = db.read();
    let statement = Statement::from_sql_and_values(
        connection.get_database_backend(),
        "SELECT id, event_id, subject, aggregate_id, stream_seq, sent_at_us FROM outbox \
         WHERE stream_seq > $1 AND stream_seq <= $2 AND sent_at_us > $3 ORDER BY stream_seq",
        [
            (after as i64).into(),
            i64::try_from(until).unwrap_or(i64::MAX).into(),
            stream::oldest_held_us().into(),
        ],
    );
    Ok(Row::find_by_statement(statement).all(connection).await?)
}

async fn send_again(db: &Db, lost: &[Row]) -> Result<i64, Error> {
    let mut repaired = 0;
    for rows in lost.chunks(PAGE) {
        repaired += db
            .write(|tx| async move {
                let mut changed = 0;
                for row in rows {
                    // Only as it was looked at: the relay may have sent it again meanwhile.
                    let statement = tx.statement(
                        "UPDATE outbox SET sent_at_us = NULL, stream_seq = -stream_seq WHERE id = $1 AND stream_seq = $2",
                        [row.id.into(), row.stream_seq.into()],
                    );
                    changed += tx.execute_raw(statement).await?.rows_affected() as i64;
                }
                tx.note_event();
                Ok::<_, Error>(changed)
            })
            .await?;
    }
    Ok(repaired)
}

/// A message of the stream, without what it says.
struct Message {
    sequence: u64,
    /// `None` where it is no event.
    event_id: Option<Uuid>,
}

/// The messages that the stream holds, in its order, up to the one that was the last when it was asked.
struct Held {
    consumer: PullConsumer,
    left: u64,
}

impl Held {
    async fn open(stream: &Stream) -> Result<Self, BoxError> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            headers_only: true,
            inactive_threshold: FORGOTTEN_AFTER,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await?;
        let left = consumer.cached_info().num_pending;
        Ok(Self { consumer, left })
    }

    fn is_over(&self) -> bool {
        self.left == 0
    }

    async fn next(&mut self) -> Result<Vec<Message>, BoxError> {
        let wanted = usize::try_from(self.left).unwrap_or(PAGE).min(PAGE);
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let batch = self
            .consumer
            .batch()
            .max_messages(wanted)
            .expires(FETCH_TIMEOUT)
            .messages()
            .await?;
        let messages: Vec<Message> = batch
            .map(|message| {
                let message = message?;
                let info = message.info()?;
                let id = message
                    .headers
                    .as_ref()
                    .and_then(|headers| Uuid::try_parse(header::get(headers, header::ID)?).ok());
                Ok::<_, BoxError>(Message {
                    sequence: info.stream_sequence,
                    event_id: id,
                })
            })
            .try_collect()
            .await?;
        if messages.is_empty() {
            return Err("the broker gave no messages".into());
        }
        self.left = self.left.saturating_sub(messages.len() as u64);
        Ok(messages)
    }
}

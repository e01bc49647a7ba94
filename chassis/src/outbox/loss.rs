//! Notices that the broker has lost what it acknowledged, and sends it again.
//!
//! JetStream acknowledges before it has synced to disk, so a power loss can cut off a stream's end or take a
//! young stream whole. The outbox remembers which stream it published to and the sequence of each event;
//! on every new connection, before anything is published, both are compared with what the broker has. Again every few seconds,
//! since a stream or a single message may also be deleted by hand, which breaks no connection.

use std::fmt;

use async_nats::jetstream::{
    self, consumer,
    stream::{Info, RawMessageErrorKind, Stream},
};
use futures::TryStreamExt as _;
use opentelemetry::{global, metrics::Counter};
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement, Value};
use uuid::Uuid;

use super::gaps::Gaps;
use crate::{
    db::{Db, Error},
    events::{header, stream},
};

/// Events that are looked at to find where a stream's end was lost.
const MAX_STEPS_BACK: usize = 64;
/// What the broker's clock and ours may differ: events that are nearly too old for a stream are not missed.
const CLOCK_SLACK_US: i64 = 60 * 60 * 1_000_000;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Compares the outbox with the stream and prepares what the stream lost to be sent again.
pub(super) struct Inspector {
    db: Db,
    jetstream: jetstream::Context,
    service: String,
    lost: Counter<u64>,
    gaps: Gaps,
}

/// Sequences that the stream has lost.
#[derive(Debug)]
enum Lost {
    /// Its end, behind this one.
    Behind(u64),
    /// Its beginning, before this one.
    Before(u64),
    /// These, from between others.
    Within(Vec<u64>),
}

/// An event and where the broker acknowledged it.
#[derive(FromQueryResult)]
pub(super) struct Sent {
    pub(super) event_id: Uuid,
    pub(super) stream_seq: i64,
}

impl Lost {
    /// SQL that is true of the rows that were sent there, and its parameter `$1`.
    fn condition(&self, engine: DbBackend) -> (&'static str, Value) {
        match self {
            Self::Behind(last) => ("stream_seq > $1", (*last as i64).into()),
            Self::Before(first) => ("stream_seq < $1", (*first as i64).into()),
            // One parameter, however many they are.
            Self::Within(missing) => {
                let list = serde_json::to_string(missing).unwrap_or_default();
                let which = match engine {
                    DbBackend::Postgres => {
                        "stream_seq IN (SELECT value::bigint FROM json_array_elements_text($1::json))"
                    }
                    _ => "stream_seq IN (SELECT value FROM json_each($1))",
                };
                (which, list.into())
            }
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(last) => write!(formatter, "all behind {last}"),
            Self::Before(first) => write!(formatter, "all before {first}"),
            Self::Within(missing) => write!(formatter, "{} in between", missing.len()),
        }
    }
}

impl Inspector {
    pub(super) fn new(db: Db, jetstream: jetstream::Context, service: &str) -> Self {
        let lost = global::meter("caravan")
            .u64_counter("caravan_outbox_lost_by_broker")
            .with_description("Acknowledged events that the broker lost and that are sent again")
            .build();
        Self {
            db,
            jetstream,
            service: service.to_owned(),
            lost,
            gaps: Gaps::default(),
        }
    }

    /// One look. After `Ok` it is safe to publish. Whether something was lost, which is unsent again now.
    pub(super) async fn inspect(&mut self) -> Result<bool, BoxError> {
        let mut stream = stream::ensure(&self.jetstream, &self.service).await?;
        // Positions before the end: what another replica publishes in between must not look like a loss.
        let positions = positions(&stream).await?;
        let info = stream.info().await?.clone();
        let created_us = (info.created.unix_timestamp_nanos() / 1_000) as i64;
        let state = &info.state;
        let known_us = self.known_stream().await?;
        let lost_after = match (known_us, self.newest_sent(i64::MAX).await?) {
            (None, _) | (_, None) => None,
            (Some(known_us), _) if known_us != created_us => Some(0),
            // Not beyond the stream's end, but before its beginning.
            (_, Some(newest)) if (newest.stream_seq as u64) < state.first_sequence => None,
            (_, Some(newest)) if is_ours(&stream, &newest).await? => None,
            _ => Some(self.last_common(&stream, state.last_sequence).await?),
        };
        // Also where the outbox misses nothing: it may not have remembered what it sent last.
        let end = lost_after.unwrap_or(state.last_sequence);
        forget_positions_beyond(&stream, positions, end).await?;
        let lost = match lost_after {
            Some(after) => Some(Lost::Behind(after)),
            None => self.removed_by_hand(&stream, &info).await?,
        };
        let again = match &lost {
            None if known_us == Some(created_us) => 0,
            lost => self.remember(created_us, lost.as_ref()).await?,
        };
        self.gaps.dealt_with(&info);
        let Some(lost) = lost.filter(|lost| again > 0 || !matches!(lost, Lost::Within(_))) else {
            return Ok(false);
        };
        self.lost.add(again, &[]);
        tracing::error!(
            stream = stream::name(&self.service),
            recreated = known_us != Some(created_us),
            lost = %lost,
            events = again,
            "the broker lost events that it had acknowledged; they are sent again"
        );
        Ok(true)
    }

    async fn removed_by_hand(
        &self,
        stream: &Stream,
        info: &Info,
    ) -> Result<Option<Lost>, BoxError> {
        if let Some(purged) = self.purged_before(info.state.first_sequence).await? {
            return Ok(Some(purged));
        }
        let missing = self.gaps.find(stream, info).await?;
        Ok(Some(missing)
            .filter(|missing| !missing.is_empty())
            .map(Lost::Within))
    }

    /// What was removed from the stream's beginning by hand. By itself a stream removes only what is too old.
    async fn purged_before(&self, first_sequence: u64) -> Result<Option<Lost>, Error> {
        let connection = self.db.read();
        let statement = Statement::from_sql_and_values(
            connection.get_database_backend(),
            "SELECT sent_at_us FROM outbox WHERE stream_seq < $1 AND stream_seq > 0 ORDER BY stream_seq DESC LIMIT 1",
            [i64::try_from(first_sequence).unwrap_or(i64::MAX).into()],
        );
        let newest = connection.query_one_raw(statement).await?;
        let sent_us: Option<i64> = newest
            .map(|row| row.try_get("", "sent_at_us"))
            .transpose()?;
        Ok(sent_us
            .is_some_and(is_young)
            .then_some(Lost::Before(first_sequence)))
    }

    async fn known_stream(&self) -> Result<Option<i64>, Error> {
        let connection = self.db.read();
        let sql = "SELECT created_at_us FROM outbox_stream";
        let row = connection
            .query_one_raw(Statement::from_string(
                connection.get_database_backend(),
                sql,
            ))
            .await?;
        Ok(row
            .map(|row| row.try_get("", "created_at_us"))
            .transpose()?)
    }

    /// The newest event among those that were acknowledged at `up_to` or before it.
    async fn newest_sent(&self, up_to: i64) -> Result<Option<Sent>, Error> {
        let connection = self.db.read();
        let sql = "SELECT event_id, stream_seq FROM outbox WHERE stream_seq <= $1 AND stream_seq > 0 ORDER BY stream_seq DESC LIMIT 1";
        let statement =
            Statement::from_sql_and_values(connection.get_database_backend(), sql, [up_to.into()]);
        Ok(Sent::find_by_statement(statement).one(connection).await?)
    }

    /// The last sequence at which outbox and stream agree; 0 where that is too far back to look for. Others may have
    /// been written in place of what was lost.
    async fn last_common(&self, stream: &Stream, last_sequence: u64) -> Result<u64, BoxError> {
        let mut up_to = last_sequence as i64;
        for _ in 0..MAX_STEPS_BACK {
            match self.newest_sent(up_to).await? {
                Some(sent) if is_ours(stream, &sent).await? => return Ok(sent.stream_seq as u64),
                Some(sent) => up_to = sent.stream_seq - 1,
                None => break,
            }
        }
        Ok(0)
    }

    /// Remembers the stream and makes what it lost unsent again; a negative sequence tells the relay that they were sent once.
    /// Answers how many events that are.
    async fn remember(&self, created_us: i64, lost: Option<&Lost>) -> Result<u64, Error> {
        self.db
            .write(|tx| async move {
                tx.execute_raw(tx.statement(
                    "INSERT INTO outbox_stream (id, created_at_us) VALUES (1, $1) \
                     ON CONFLICT (id) DO UPDATE SET created_at_us = excluded.created_at_us",
                    [created_us.into()],
                ))
                .await?;
                let Some(lost) = lost else { return Ok(0) };
                let (which, value) = lost.condition(tx.get_database_backend());
                let sql = format!(
                    "UPDATE outbox SET sent_at_us = NULL, stream_seq = -stream_seq WHERE {which} AND sent_at_us > $2"
                );
                let again = tx
                    .execute_raw(tx.statement(&sql, [value, stream::oldest_held_us().into()]))
                    .await?;
                Ok::<_, Error>(again.rows_affected())
            })
            .await
    }
}

/// Whether an event was sent so late that the stream cannot have removed it for its age.
pub(super) fn is_young(sent_at_us: i64) -> bool {
    sent_at_us > stream::oldest_held_us() + CLOCK_SLACK_US
}

/// Whether the stream has our event where it was acknowledged.
pub(super) async fn is_ours(stream: &Stream, sent: &Sent) -> Result<bool, BoxError> {
    match stream.get_raw_message(sent.stream_seq as u64).await {
        Ok(message) => {
            Ok(header::get(&message.headers, header::ID)
                == Some(sent.event_id.to_string().as_str()))
        }
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Every durable of the stream and how far it has come.
async fn positions(stream: &Stream) -> Result<Vec<(String, u64)>, BoxError> {
    let consumers: Vec<consumer::Info> = stream.consumers().try_collect().await?;
    let position = |consumer: &consumer::Info| {
        consumer
            .ack_floor
            .stream_sequence
            .max(consumer.delivered.stream_sequence)
    };
    Ok(consumers
        .into_iter()
        .map(|consumer| (consumer.name.clone(), position(&consumer)))
        .collect())
}

/// Deletes durables that stand beyond what the stream still has. Servers before 2.14 would silently skip what is
/// published next; made anew by their services they start from the beginning, and inboxes drop what they had.
async fn forget_positions_beyond(
    stream: &Stream,
    positions: Vec<(String, u64)>,
    last_sequence: u64,
) -> Result<(), BoxError> {
    for (consumer, _) in positions
        .iter()
        .filter(|(_, position)| *position > last_sequence)
    {
        tracing::warn!(
            consumer,
            "the consumer stood beyond the end of its stream and is made anew"
        );
        stream.delete_consumer(consumer).await?;
    }
    Ok(())
}

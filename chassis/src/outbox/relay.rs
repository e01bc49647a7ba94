//! Publishes the outbox: one event in flight per aggregate, many aggregates at once.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream;
use opentelemetry::{global, metrics::Counter};
use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    ORIGIN,
    loss::Inspector,
    publish::{Row, publish},
};
use crate::{
    clock,
    db::{Db, Error},
};

/// Most rows that are read at a time.
const MAX_BATCH_ROWS: usize = 512;
/// Most published rows that wait to be marked as sent.
const MAX_UNMARKED_ROWS: usize = 2048;
/// Longest time that published rows wait to be marked. A crash in between only sends them again.
const MARK_INTERVAL: Duration = Duration::from_millis(200);
/// How often the outbox is looked at although nobody said that it has news.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Wait after a failed round, so that a broker that is away is not asked in a tight loop.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How often the stream is compared with the outbox on a connection that holds.
const INSPECT_INTERVAL: Duration = Duration::from_secs(5);
/// Unsent rows of other replicas are left to them for so long; older ones are anybody's.
const OTHERS_FOR: Duration = Duration::from_secs(2);
/// With fewer rows that wait for their mark the outbox is read from its first unsent row on each time.
const MAX_READ_AGAIN: usize = 64;
/// How often the lag is counted while something waits.
const LAG_INTERVAL: Duration = Duration::from_secs(5);

/// Tells one connection to a broker from the next.
type Connection = (String, u64);

/// Publishes a service's outbox to its stream.
pub struct Relay {
    db: Db,
    jetstream: jetstream::Context,
    service: Arc<str>,
    /// Published but not yet marked as sent, with their sequence in the stream.
    unmarked: HashMap<i64, u64>,
    oldest_unmarked: Option<Instant>,
    /// Rows up to here were read since the last mark. Lower ids may still be committed later: never for longer than that.
    read_up_to: i64,
    lag_shown: Option<Instant>,
    inspector: Inspector,
    /// The highest sequence of this connection; a lower one for a new event is that of another stream.
    highest: u64,
    /// The connection on which the stream was last found to have everything, and when.
    inspected: Option<(Connection, Instant)>,
    published: Counter<u64>,
}

impl Relay {
    /// A relay of `service`'s outbox.
    pub fn new(db: Db, jetstream: jetstream::Context, service: &str) -> Self {
        let published = global::meter("caravan")
            .u64_counter("caravan_outbox_published")
            .with_description("Events that the broker acknowledged")
            .build();
        Self {
            inspector: Inspector::new(db.clone(), jetstream.clone(), service),
            db,
            jetstream,
            service: service.into(),
            unmarked: HashMap::new(),
            oldest_unmarked: None,
            read_up_to: 0,
            lag_shown: None,
            highest: 0,
            inspected: None,
            published,
        }
    }

    /// Publishes until `cancel`, then marks what the broker has and ends.
    pub async fn run(mut self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let pause = match self.step().await {
                Ok(true) => continue,
                Ok(false) => self.until_mark().min(POLL_INTERVAL),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "outbox could not be published; trying again"
                    );
                    RETRY_PAUSE
                }
            };
            self.show_lag().await;
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.db.events_written() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Err(error) = self.mark().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "sent events were not marked; they will be sent again"
            );
        }
    }

    /// Publishes what is there and marks what is due. Whether there may be more at once.
    async fn step(&mut self) -> Result<bool, Error> {
        if !self.inspect_connection().await? {
            return Ok(false);
        }
        let (rows, full) = self.unsent().await?;
        let any = !rows.is_empty();
        let mut round = publish(&self.jetstream, &self.service, rows).await;
        let recreated = round
            .lowest_new
            .is_some_and(|lowest| lowest <= self.highest);
        if recreated || !self.is_inspected() {
            // Nobody has looked at this stream yet: it was made anew meanwhile, or the client has sent what it could
            // not send as soon as it was connected again. What came of that is sent again after the look.
            round.sent.clear();
            self.inspected = None;
        }
        let highest = round.sent.iter().map(|(_, sequence)| *sequence).max();
        self.highest = self.highest.max(highest.unwrap_or_default());
        self.published.add(round.sent.len() as u64, &[]);
        if !round.sent.is_empty() {
            self.oldest_unmarked.get_or_insert_with(Instant::now);
            self.unmarked.extend(round.sent);
        }
        if self.unmarked.len() >= MAX_UNMARKED_ROWS || self.until_mark().is_zero() {
            self.mark().await?;
        }
        if round.failed {
            // The stream may be gone with the broker's disk.
            self.inspected = None;
            self.read_up_to = 0;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Ok(full || (any && !round.failed))
    }

    /// Compares outbox and stream on every new connection, and now and then. Whether it is safe to publish.
    async fn inspect_connection(&mut self) -> Result<bool, Error> {
        let connection = self.connection();
        let is_known = self.is_inspected();
        let is_due = |at: Instant| at.elapsed() >= INSPECT_INTERVAL;
        if is_known && !self.inspected.as_ref().is_some_and(|(_, at)| is_due(*at)) {
            return Ok(true);
        }
        if !is_known {
            self.begin_anew();
        }
        match self.inspector.inspect().await {
            Ok(lost) => {
                if lost {
                    self.begin_anew();
                }
                self.inspected = Some((connection, Instant::now()));
                Ok(true)
            }
            Err(error) => {
                self.inspected = None;
                tracing::warn!(%error, "the event stream cannot be compared with the outbox; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
                Ok(false)
            }
        }
    }

    /// Forgets what was acknowledged but not marked. It is sent again, and dropped by inboxes: its sequences may be those of a
    /// stream that is no more.
    fn begin_anew(&mut self) {
        self.unmarked.clear();
        self.oldest_unmarked = None;
        self.read_up_to = 0;
        self.highest = 0;
    }

    /// Whether the stream was looked at on this connection.
    fn is_inspected(&self) -> bool {
        let connection = self.connection();
        self.inspected
            .as_ref()
            .is_some_and(|(inspected, _)| *inspected == connection)
    }

    fn connection(&self) -> Connection {
        let server = self.jetstream.client().server_info();
        (server.server_id.clone(), server.client_id)
    }

    fn until_mark(&self) -> Duration {
        self.oldest_unmarked.map_or(POLL_INTERVAL, |oldest| {
            MARK_INTERVAL.saturating_sub(oldest.elapsed())
        })
    }

    /// Unsent rows in their order, without those that only wait for their mark or are another replica's; and whether there may
    /// be more.
    async fn unsent(&mut self) -> Result<(Vec<Row>, bool), Error> {
        if self.unmarked.len() < MAX_READ_AGAIN {
            self.read_up_to = 0;
        }
        let connection = self.db.read();
        let limit = match self.read_up_to {
            0 => MAX_BATCH_ROWS + self.unmarked.len(),
            _ => MAX_BATCH_ROWS,
        };
        let statement = Statement::from_sql_and_values(
            connection.get_database_backend(),
            "SELECT id, event_id, event_type, subject, aggregate_id, payload, transient, traceparent, request_id, \
             occurred_at_us, origin, stream_seq FROM outbox WHERE sent_at_us IS NULL AND id > $1 ORDER BY id LIMIT $2",
            [self.read_up_to.into(), (limit as i64).into()],
        );
        let mut rows = Row::find_by_statement(statement).all(connection).await?;
        let full = rows.len() >= limit;
        self.read_up_to = rows.last().map_or(self.read_up_to, |row| row.id);
        rows.retain(|row| !self.unmarked.contains_key(&row.id));
        Ok((ours(rows), full))
    }

    /// Marks what the broker has.
    async fn mark(&mut self) -> Result<(), Error> {
        self.read_up_to = 0;
        if self.unmarked.is_empty() {
            return Ok(());
        }
        // One parameter, so that the statement is the same for any number of rows and stays prepared.
        let rows: Vec<_> = self.unmarked.iter().collect();
        let rows = &serde_json::to_string(&rows).unwrap_or_default();
        self.db
            .write(|tx| async move {
                let sql = match tx.get_database_backend() {
                    DbBackend::Postgres => MARK_ON_POSTGRES,
                    _ => MARK_ON_SQLITE,
                };
                let values = [clock::now_us().into(), rows.as_str().into()];
                tx.execute_raw(tx.statement(sql, values)).await?;
                Ok::<_, Error>(())
            })
            .await?;
        self.unmarked.clear();
        self.oldest_unmarked = None;
        Ok(())
    }

    /// Shows how far the outbox is behind. What was just found to be empty is not counted.
    async fn show_lag(&mut self) {
        let is_idle = self.inspected.is_some() && self.unmarked.is_empty();
        let due = self
            .lag_shown
            .is_none_or(|shown| shown.elapsed() >= LAG_INTERVAL);
        if is_idle {
            super::lag::show(super::Lag::default());
        } else if due {
            self.lag_shown = Some(Instant::now());
            match super::lag(&self.db).await {
                Ok(lag) => super::lag::show(lag),
                Err(error) => tracing::debug!(%error, "the outbox's lag was not counted"),
            }
        }
    }
}

/// `$1` is the time, `$2` a JSON list of pairs of id and sequence.
const MARK_ON_SQLITE: &str = "UPDATE outbox SET sent_at_us = $1, stream_seq = marked.seq \
     FROM (SELECT value ->> 0 AS id, value ->> 1 AS seq FROM json_each($2)) AS marked WHERE outbox.id = marked.id";
const MARK_ON_POSTGRES: &str = "UPDATE outbox SET sent_at_us = $1, stream_seq = marked.seq \
     FROM (SELECT (value ->> 0)::bigint AS id, (value ->> 1)::bigint AS seq FROM json_array_elements($2::json)) AS marked \
     WHERE outbox.id = marked.id";

/// What this replica publishes: every aggregate of which an event is its own, or has waited so long that its replica may be
/// gone. Replicas need not agree: whoever publishes an event has seen the earlier ones of its aggregate acknowledged, or
/// publishes them first, so that first occurrences keep their order; the rest are duplicates.
fn ours(rows: Vec<Row>) -> Vec<Row> {
    let left_since_us = clock::now_us() - OTHERS_FOR.as_micros() as i64;
    let is_ours = |row: &Row| {
        row.origin.is_none_or(|origin| origin == *ORIGIN) || row.occurred_at_us < left_since_us
    };
    if rows.iter().all(is_ours) {
        return rows;
    }
    let aggregates: HashSet<_> = rows
        .iter()
        .filter(|row| is_ours(row))
        .map(|row| row.aggregate_id.clone())
        .collect();
    rows.into_iter()
        .filter(|row| aggregates.contains(&row.aggregate_id))
        .collect()
}

//! Publishes the outbox: one event in flight per aggregate, many aggregates at once.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{self, publish::PublishAck},
};
use futures::{StreamExt as _, stream::FuturesUnordered};
use opentelemetry::{global, metrics::Counter};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::loss::Inspector;
use crate::{
    clock,
    db::{Db, Error},
    events::header,
};

/// Most rows that are read at a time.
const MAX_BATCH_ROWS: usize = 512;
/// Most aggregates that are published at the same time.
const MAX_AGGREGATES_IN_FLIGHT: usize = 256;
/// Most published rows that wait to be marked as sent.
const MAX_UNMARKED_ROWS: usize = 2048;
/// Longest time that published rows wait to be marked. A crash in between only sends them again.
const MARK_INTERVAL: Duration = Duration::from_millis(200);
/// How often the outbox is looked at although nobody said that it has news.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait for the broker's acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// Wait after a failed round, so that a broker that is away is not asked in a tight loop.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// One unsent row.
#[derive(Debug, FromQueryResult)]
struct Row {
    id: i64,
    event_id: Uuid,
    event_type: String,
    subject: String,
    aggregate_id: String,
    payload: Vec<u8>,
    transient: Option<Vec<u8>>,
    traceparent: Option<String>,
    request_id: Option<String>,
    occurred_at_us: i64,
}

/// What a round of publishing came to.
struct Round {
    /// Rows that the broker has, with their sequence in the stream.
    sent: Vec<(i64, u64)>,
    /// The lowest sequence that the broker gave to an event that it did not have yet.
    lowest_new: Option<u64>,
    failed: bool,
}

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
    inspector: Inspector,
    /// The highest sequence of this connection; a lower one for a new event is that of another stream.
    highest: u64,
    /// The connection on which the stream was last found to have everything.
    inspected: Option<Connection>,
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
        let rows = self.unsent().await?;
        let full = rows.len() >= MAX_BATCH_ROWS;
        let any = !rows.is_empty();
        let mut round = publish(&self.jetstream, &self.service, rows).await;
        let recreated = round
            .lowest_new
            .is_some_and(|lowest| lowest <= self.highest);
        if recreated || self.inspected.as_ref() != Some(&self.connection()) {
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
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        Ok(full || (any && !round.failed))
    }

    /// Compares outbox and stream on every new connection. Whether it is safe to publish.
    async fn inspect_connection(&mut self) -> Result<bool, Error> {
        let connection = self.connection();
        if self.inspected.as_ref() == Some(&connection) {
            return Ok(true);
        }
        // What was acknowledged on the last connection but not marked is sent again, and dropped by inboxes: its
        // sequences may be those of a stream that is no more.
        self.unmarked.clear();
        self.oldest_unmarked = None;
        self.highest = 0;
        match self.inspector.inspect().await {
            Ok(()) => {
                self.inspected = Some(connection);
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(%error, "the event stream cannot be compared with the outbox; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
                Ok(false)
            }
        }
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

    /// Unsent rows in their order, without those that only wait for their mark.
    async fn unsent(&self) -> Result<Vec<Row>, Error> {
        let connection = self.db.read();
        let limit = (MAX_BATCH_ROWS + self.unmarked.len()) as i64;
        let statement = Statement::from_sql_and_values(
            connection.get_database_backend(),
            "SELECT id, event_id, event_type, subject, aggregate_id, payload, transient, traceparent, request_id, \
             occurred_at_us FROM outbox WHERE sent_at_us IS NULL ORDER BY id LIMIT $1",
            [limit.into()],
        );
        let mut rows = Row::find_by_statement(statement).all(connection).await?;
        rows.retain(|row| !self.unmarked.contains_key(&row.id));
        Ok(rows)
    }

    /// Marks what the broker has.
    async fn mark(&mut self) -> Result<(), Error> {
        if self.unmarked.is_empty() {
            return Ok(());
        }
        // Digits only, so that one statement of any length needs no list of parameters.
        let rows = self
            .unmarked
            .iter()
            .map(|(id, sequence)| format!("({id},{sequence})"))
            .collect::<Vec<_>>()
            .join(",");
        let sql = format!(
            "UPDATE outbox SET sent_at_us = $1, stream_seq = marked.column2 \
             FROM (VALUES {rows}) AS marked WHERE outbox.id = marked.column1"
        );
        let sql = &sql;
        self.db
            .write(|tx| async move {
                tx.execute_raw(tx.statement(sql, [clock::now_us().into()]))
                    .await
                    .map_err(Error::from)?;
                Ok::<_, Error>(())
            })
            .await?;
        self.unmarked.clear();
        self.oldest_unmarked = None;
        Ok(())
    }
}

/// Publishes rows: those of one aggregate one after another, up to the first that fails.
async fn publish(jetstream: &jetstream::Context, service: &str, rows: Vec<Row>) -> Round {
    let mut aggregates: HashMap<String, VecDeque<Row>> = HashMap::new();
    let mut order = Vec::new();
    for row in rows {
        let queue = aggregates
            .entry(row.aggregate_id.clone())
            .or_insert_with(|| {
                order.push(row.aggregate_id.clone());
                VecDeque::new()
            });
        queue.push_back(row);
    }
    let mut waiting = order
        .into_iter()
        .filter_map(|aggregate| aggregates.remove(&aggregate))
        .collect::<VecDeque<_>>();
    let mut in_flight = FuturesUnordered::new();
    let mut round = Round {
        sent: Vec::new(),
        lowest_new: None,
        failed: false,
    };
    loop {
        while in_flight.len() < MAX_AGGREGATES_IN_FLIGHT {
            let Some(queue) = waiting.pop_front() else {
                break;
            };
            in_flight.push(publish_in_order(jetstream, service, queue));
        }
        let Some((acks, failed)) = in_flight.next().await else {
            return round;
        };
        for (id, ack) in acks {
            round.sent.push((id, ack.sequence));
            if !ack.duplicate {
                round.lowest_new = Some(
                    round
                        .lowest_new
                        .map_or(ack.sequence, |lowest| lowest.min(ack.sequence)),
                );
            }
        }
        round.failed |= failed;
    }
}

async fn publish_in_order(
    jetstream: &jetstream::Context,
    service: &str,
    rows: VecDeque<Row>,
) -> (Vec<(i64, PublishAck)>, bool) {
    let mut sent = Vec::new();
    for row in rows {
        let id = row.id;
        match publish_one(jetstream, service, row).await {
            Ok(ack) => sent.push((id, ack)),
            Err(error) => {
                tracing::warn!(%error, "event was not published; trying again");
                return (sent, true);
            }
        }
    }
    (sent, false)
}

async fn publish_one(
    jetstream: &jetstream::Context,
    service: &str,
    row: Row,
) -> Result<PublishAck, String> {
    let mut headers = HeaderMap::new();
    let id = row.event_id.to_string();
    headers.insert(header::MESSAGE_ID, id.as_str());
    headers.insert(header::ID, id.as_str());
    headers.insert(header::SPEC_VERSION, "1.0");
    headers.insert(header::SOURCE, format!("/caravan/{service}"));
    headers.insert(header::TYPE, row.event_type);
    headers.insert(header::SUBJECT, row.aggregate_id);
    headers.insert(header::CONTENT_TYPE, "application/protobuf");
    if let Ok(time) = clock::from_us(row.occurred_at_us).format(&Rfc3339) {
        headers.insert(header::TIME, time);
    }
    if let Some(traceparent) = row.traceparent {
        headers.insert(header::TRACEPARENT, traceparent);
    }
    if let Some(request_id) = row.request_id {
        headers.insert(header::REQUEST_ID, request_id);
    }
    let mut payload = row.payload;
    payload.extend(row.transient.unwrap_or_default());
    let publish = async {
        let ack = jetstream
            .publish_with_headers(row.subject, headers, payload.into())
            .await;
        // An error in the acknowledgement comes as an error here, whatever sequence it carries.
        ack.map_err(|error| error.to_string())?
            .await
            .map_err(|error| error.to_string())
    };
    match tokio::time::timeout(ACK_TIMEOUT, publish).await {
        Ok(Ok(ack)) => Ok(ack),
        Ok(Err(error)) => Err(error),
        Err(_) => Err("no acknowledgement in time".to_owned()),
    }
}

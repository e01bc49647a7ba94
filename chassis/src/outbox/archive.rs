//! The outbox as the archive of what a service published.

use contracts::caravan::ops::v1::{ListEventsRequest, ListEventsResponse, StoredEvent};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement, Value};
use uuid::Uuid;

use crate::{
    clock,
    db::{Db, Error},
};

/// Events of an answer where the caller names no number.
const DEFAULT_EVENTS: i32 = 100;
/// Rows that one answer looks at; those between that do not match are passed over by the next one.
const MAX_ROWS_LOOKED_AT: i64 = 100_000;
/// Payload bytes after which an answer is full: below what clients take in one message.
const MAX_PAYLOAD_BYTES: usize = 2 << 20;

#[derive(FromQueryResult)]
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
    sent_at_us: Option<i64>,
    stream_seq: Option<i64>,
}

/// Events behind a position, oldest first.
///
/// # Errors
/// The database's own.
pub(crate) async fn list(
    db: &Db,
    request: &ListEventsRequest,
) -> Result<ListEventsResponse, Error> {
    let after = request.after_position;
    let until = after.saturating_add(MAX_ROWS_LOOKED_AT);
    let limit = match request.page_size {
        0 => DEFAULT_EVENTS,
        size => size,
    };
    let last = last_position(db).await?;
    let rows = rows(db, request, until, limit).await?;
    let full = rows.len() >= limit as usize;
    let mut next_position = if full {
        after
    } else {
        until.min(last).max(after)
    };
    let (mut events, mut bytes) = (Vec::new(), 0);
    let count = rows.len();
    for row in rows {
        bytes += row.payload.len();
        let position = row.id;
        events.push(row.into());
        if bytes > MAX_PAYLOAD_BYTES || (full && events.len() == count) {
            next_position = position;
            break;
        }
    }
    Ok(ListEventsResponse {
        events,
        next_position,
    })
}

/// The place of the newest event; 0 where there is none.
///
/// # Errors
/// The database's own.
pub(crate) async fn last_position(db: &Db) -> Result<i64, Error> {
    let connection = db.read();
    let row = connection
        .query_one_raw(Statement::from_string(
            connection.get_database_backend(),
            "SELECT MAX(id) AS id FROM outbox",
        ))
        .await?;
    let id: Option<i64> = row.map_or(Ok(None), |row| row.try_get("", "id"))?;
    Ok(id.unwrap_or_default())
}

async fn rows(
    db: &Db,
    request: &ListEventsRequest,
    until: i64,
    limit: i32,
) -> Result<Vec<Row>, Error> {
    let connection = db.read();
    // Rows of a history that began before there were events were never published.
    let mut sql = "SELECT id, event_id, event_type, subject, aggregate_id, payload, transient, traceparent, request_id, \
                   occurred_at_us, sent_at_us, stream_seq FROM outbox \
                   WHERE id > $1 AND id <= $2 AND (origin IS NOT NULL OR aggregate_version IS NULL)"
        .to_owned();
    let mut values: Vec<Value> = vec![request.after_position.into(), until.into()];
    let mut filter = |condition: &str, value: Value| {
        values.push(value);
        sql.push_str(&format!(" AND {condition}${}", values.len()));
    };
    match request.subject.strip_suffix('>') {
        Some(prefix) => {
            filter("subject >= ", prefix.into());
            // The first text behind all that begin with the prefix.
            filter("subject < ", format!("{prefix}\u{10ffff}").into());
        }
        None if request.subject.is_empty() => {}
        None => filter("subject = ", request.subject.as_str().into()),
    }
    for (column, time) in [
        ("occurred_at_us", &request.from),
        ("sent_at_us", &request.sent_from),
    ] {
        if let Some(us) = time
            .as_ref()
            .and_then(clock::from_timestamp)
            .map(clock::to_us)
        {
            match column {
                "occurred_at_us" => filter("occurred_at_us >= ", us.into()),
                // What is not sent yet is sent later than any time.
                _ => filter("COALESCE(sent_at_us, 9223372036854775807) >= ", us.into()),
            }
        }
    }
    values.push(i64::from(limit).into());
    sql.push_str(&format!(" ORDER BY id LIMIT ${}", values.len()));
    let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
    Ok(Row::find_by_statement(statement).all(connection).await?)
}

impl From<Row> for StoredEvent {
    fn from(row: Row) -> Self {
        let mut payload = row.payload;
        payload.extend(row.transient.unwrap_or_default());
        Self {
            position: row.id,
            event_id: row.event_id.to_string(),
            event_type: row.event_type,
            subject: row.subject,
            aggregate_id: row.aggregate_id,
            payload,
            traceparent: row.traceparent.unwrap_or_default(),
            request_id: row.request_id.unwrap_or_default(),
            occurred_at: Some(clock::timestamp_us(row.occurred_at_us)),
            sent_at: row.sent_at_us.map(clock::timestamp_us),
            stream_sequence: row.stream_seq.unwrap_or_default().max(0) as u64,
        }
    }
}

//! The history of event-sourced aggregates: outbox rows that have a version, and stay.
//!
//! There is no event store beside the outbox. A row with a version is published like any other, and afterwards it is kept
//! for good, without its transient fields. The version is unique within the aggregate, which is the whole of the
//! concurrency control: of two changes that were decided upon the same state one is stored.

use prost_reflect::ReflectMessage;
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Row, insert,
    transient::{Parts, split},
};
use crate::{
    Call, clock,
    db::{Error, Tx},
};

/// Who made an event happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `user:<id>` or `service:<name>`, as [`Caller::label`](crate::Caller::label) says it.
    pub label: String,
    /// The saga in whose name a service acted.
    pub saga_id: Option<Uuid>,
}

impl Actor {
    /// Who calls.
    pub fn of(call: &Call) -> Self {
        Self {
            label: call.caller.label(),
            saga_id: call.saga.as_ref().map(|step| step.saga_id),
        }
    }
}

/// An event as it stands in the history of its aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Counts the events of the aggregate, from 1.
    pub version: i64,
    /// Full name of the message that `payload` is.
    pub event_type: String,
    /// What it was published on.
    pub subject: String,
    /// The message without its transient fields.
    pub payload: Vec<u8>,
    /// When it happened.
    pub at: OffsetDateTime,
    /// Who made it happen, where that is known.
    pub actor: Option<Actor>,
    /// The request that made it happen.
    pub request_id: Option<String>,
}

/// Appends an event to the history of its aggregate and to the outbox, which are one row.
///
/// `version` is the one that the aggregate has with this event: one more than it was read with.
///
/// # Errors
/// [`Error::Conflict`] where the aggregate has such a version already; on PostgreSQL the unit of work then runs once more.
/// Else as [`append`](super::append).
pub async fn append_version<M: ReflectMessage>(
    tx: &Tx,
    event: &M,
    version: i64,
    at: OffsetDateTime,
    actor: &Actor,
) -> Result<(), Error> {
    let Parts { lasting, transient } = split(event);
    let row = Row {
        payload: lasting,
        transient,
        version: Some(version),
        actor: Some(actor),
        at_us: clock::to_us(at),
        ..Row::of(event)?
    };
    if insert(tx, row).await? {
        Ok(())
    } else {
        tx.note_lost_race();
        Err(Error::Conflict)
    }
}

/// The events of an aggregate after a version, oldest first, at most `limit`.
///
/// # Errors
/// The database's own.
pub async fn history(
    db: &impl ConnectionTrait,
    aggregate_id: &str,
    after_version: i64,
    limit: u64,
) -> Result<Vec<Recorded>, Error> {
    let statement = Statement::from_sql_and_values(
        db.get_database_backend(),
        "SELECT aggregate_version, event_type, subject, payload, occurred_at_us, actor, saga_id, request_id FROM outbox \
         WHERE aggregate_id = $1 AND aggregate_version > $2 ORDER BY aggregate_version LIMIT $3",
        [
            aggregate_id.into(),
            after_version.into(),
            (limit as i64).into(),
        ],
    );
    let rows = Stored::find_by_statement(statement).all(db).await?;
    Ok(rows.into_iter().map(Recorded::from).collect())
}

/// The ids of aggregates that have a history, behind `after` in the order of their text, at most `limit`.
///
/// # Errors
/// The database's own.
pub async fn aggregates(
    db: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<String>, Error> {
    let statement = Statement::from_sql_and_values(
        db.get_database_backend(),
        "SELECT aggregate_id FROM outbox WHERE aggregate_version IS NOT NULL AND aggregate_id > $1 \
         GROUP BY aggregate_id ORDER BY aggregate_id LIMIT $2",
        [after.into(), (limit as i64).into()],
    );
    let rows = db.query_all_raw(statement).await?;
    rows.into_iter()
        .map(|row| Ok(row.try_get("", "aggregate_id")?))
        .collect()
}

/// Puts a record into the history of an aggregate that is never published: what the aggregate was before it had a history.
/// For migrations.
///
/// # Errors
/// The database's own.
pub async fn carry_over(
    db: &impl ConnectionTrait,
    aggregate_id: &str,
    record: Recorded,
) -> Result<(), Error> {
    let at_us = clock::to_us(record.at);
    let statement = Statement::from_sql_and_values(
        db.get_database_backend(),
        "INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, occurred_at_us, sent_at_us, \
         aggregate_version) VALUES ($1, $2, $3, $4, $5, $6, $6, $7)",
        [
            Uuid::now_v7().into(),
            record.event_type.into(),
            record.subject.into(),
            aggregate_id.into(),
            record.payload.into(),
            at_us.into(),
            record.version.into(),
        ],
    );
    db.execute_raw(statement).await?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Stored {
    aggregate_version: i64,
    event_type: String,
    subject: String,
    payload: Vec<u8>,
    occurred_at_us: i64,
    actor: Option<String>,
    saga_id: Option<Uuid>,
    request_id: Option<String>,
}

impl From<Stored> for Recorded {
    fn from(row: Stored) -> Self {
        let saga_id = row.saga_id;
        Self {
            version: row.aggregate_version,
            event_type: row.event_type,
            subject: row.subject,
            payload: row.payload,
            at: clock::from_us(row.occurred_at_us),
            actor: row.actor.map(|label| Actor { label, saga_id }),
            request_id: row.request_id,
        }
    }
}

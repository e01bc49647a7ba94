//! The outbox: events are rows of the unit of work that they tell about, and a relay publishes the rows.
//!
//! The outbox is the truth, JetStream the transport: a row is marked as sent only after an acknowledgement
//! without an error, and is kept for a while after that; for good where it is part of an aggregate's [`history`].

pub(crate) mod archive;
mod batch;
mod gaps;
mod history;
mod lag;
mod loss;
mod publish;
mod relay;
mod transient;
mod verify;

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use prost_reflect::{ReflectMessage, Value};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

pub use batch::{Envelope, append_all};
pub use history::{Actor, Recorded, aggregates, append_version, carry_over, history};
pub(crate) use lag::{Lag, lag};
pub use relay::Relay;
pub(crate) use verify::verify;

use crate::{
    clock, context,
    db::{Error, Tx, deferred},
    status, telemetry,
};

/// Tells this process's rows from those of other replicas.
static ORIGIN: LazyLock<i64> =
    LazyLock::new(|| RandomState::new().hash_one(std::process::id()) as i64);

/// Appends an event to the outbox, in the unit of work that it tells about.
///
/// Subject and aggregate id come from the contract; trace and request id from the call or event under way.
///
/// # Errors
/// The statement fails, or `event` is not an event of the contract.
pub async fn append<M: ReflectMessage>(tx: &Tx, event: &M) -> Result<(), Error> {
    let row = Row {
        payload: event.encode_to_vec(),
        ..Row::of(event)?
    };
    if tx.defers(row.payload.len()) {
        row.defer(tx)?;
        tx.note_event();
        return Ok(());
    }
    insert(tx, row).await.map(drop)
}

/// A row to be.
struct Row<'a> {
    event_type: String,
    subject: Cow<'static, str>,
    aggregate_id: String,
    payload: Vec<u8>,
    /// Published behind `payload`, and erased when no stream holds the event any more.
    transient: Option<Vec<u8>>,
    /// Only where the row is part of its aggregate's history.
    version: Option<i64>,
    actor: Option<&'a Actor>,
    at_us: i64,
}

impl Row<'_> {
    /// A row of this event, still without its payload.
    fn of<M: ReflectMessage>(event: &M) -> Result<Self, Error> {
        let descriptor = event.descriptor();
        let name = descriptor.full_name();
        let policy = contracts::policy::event(name).ok_or_else(|| {
            Error::Corrupt(format!(
                "{name} is no event: it has no subject in the contract"
            ))
        })?;
        let id = event
            .transcode_to_dynamic()
            .get_field_by_name(&policy.aggregate_id_field)
            .map(|value| value.into_owned());
        let Some(Value::String(aggregate_id)) = id else {
            return Err(Error::Corrupt(format!(
                "{name} has no text field {}",
                policy.aggregate_id_field
            )));
        };
        Ok(Self {
            event_type: name.to_owned(),
            subject: policy.subject_of(status::service()),
            aggregate_id,
            payload: Vec::new(),
            transient: None,
            version: None,
            actor: None,
            at_us: clock::now_us(),
        })
    }

    fn defer(&self, tx: &Tx) -> Result<(), Error> {
        let request_id = context::current().map(|context| context.request_id.to_string());
        tx.defer(deferred::Event {
            event_id: Uuid::now_v7(),
            event_type: &self.event_type,
            subject: &self.subject,
            aggregate_id: &self.aggregate_id,
            payload: &self.payload,
            traceparent: telemetry::traceparent().as_deref(),
            request_id: request_id.as_deref(),
            occurred_at_us: self.at_us,
            origin: *ORIGIN,
        })
    }
}

/// Whether the row was new: its aggregate had no such version.
async fn insert(tx: &Tx, row: Row<'_>) -> Result<bool, Error> {
    tx.write_deferred().await?;
    let request_id = context::current().map(|context| context.request_id.to_string());
    let inserted = tx
        .execute_raw(tx.statement(
            "INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, transient, traceparent, request_id, \
             occurred_at_us, aggregate_version, actor, saga_id, origin) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
            [
                Uuid::now_v7().into(),
                row.event_type.into(),
                row.subject.into_owned().into(),
                row.aggregate_id.into(),
                row.payload.into(),
                row.transient.into(),
                telemetry::traceparent().into(),
                request_id.into(),
                row.at_us.into(),
                row.version.into(),
                row.actor.map(|actor| actor.label.as_str()).into(),
                row.actor.and_then(|actor| actor.saga_id).into(),
                (*ORIGIN).into(),
            ],
        ))
        .await?;
    tx.note_event();
    Ok(inserted.rows_affected() == 1)
}

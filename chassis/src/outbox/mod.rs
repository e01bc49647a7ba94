//! The outbox: events are rows of the unit of work that they tell about, and a relay publishes the rows.
//!
//! The outbox is the truth, JetStream the transport: a row is marked as sent only after an acknowledgement
//! without an error, and is kept for a while after that.

mod loss;
mod relay;

use prost_reflect::{ReflectMessage, Value};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

pub use relay::Relay;

use crate::{
    clock, context,
    db::{Error, Tx},
    telemetry,
};

/// Appends an event to the outbox, in the unit of work that it tells about.
///
/// Subject and aggregate id come from the contract; trace and request id from the call or event under way.
///
/// # Errors
/// The statement fails, or `event` is not an event of the contract.
pub async fn append<M: ReflectMessage>(tx: &Tx, event: &M) -> Result<(), Error> {
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
    let request_id = context::current().map(|context| context.request_id.to_string());
    tx.execute_raw(tx.statement(
        "INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, traceparent, request_id, \
         occurred_at_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            Uuid::now_v7().into(),
            name.into(),
            policy.subject.as_str().into(),
            aggregate_id.into(),
            event.encode_to_vec().into(),
            telemetry::traceparent().into(),
            request_id.into(),
            clock::now_us().into(),
        ],
    ))
    .await?;
    tx.note_event();
    Ok(())
}

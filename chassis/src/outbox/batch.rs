//! Events of many changes, appended together.

use std::borrow::Cow;

use prost_reflect::ReflectMessage;
use sea_orm::{DbBackend, Value};
use uuid::Uuid;

use super::{ORIGIN, Row};
use crate::{
    context,
    db::{Error, Tx},
    telemetry,
};

/// Most rows of one statement.
const MAX_ROWS: usize = 32;
const COLUMNS: usize = 9;

/// An event that is ready for the outbox, with the trace and request that it belongs to.
#[derive(Clone, Debug)]
pub struct Envelope {
    event_type: String,
    subject: Cow<'static, str>,
    aggregate_id: String,
    payload: Vec<u8>,
    traceparent: Option<String>,
    request_id: Option<String>,
    at_us: i64,
}

impl Envelope {
    /// As [`append`](super::append) would store it now.
    ///
    /// # Errors
    /// `event` is not an event of the contract.
    pub fn of<M: ReflectMessage>(event: &M) -> Result<Self, Error> {
        let row = Row::of(event)?;
        Ok(Self {
            event_type: row.event_type,
            subject: row.subject,
            aggregate_id: row.aggregate_id,
            payload: event.encode_to_vec(),
            traceparent: telemetry::traceparent(),
            request_id: context::current().map(|context| context.request_id.to_string()),
            at_us: row.at_us,
        })
    }

    fn values(&self) -> [Value; COLUMNS] {
        [
            Uuid::now_v7().into(),
            self.event_type.as_str().into(),
            self.subject.as_ref().into(),
            self.aggregate_id.as_str().into(),
            self.payload.clone().into(),
            self.traceparent.clone().into(),
            self.request_id.clone().into(),
            self.at_us.into(),
            (*ORIGIN).into(),
        ]
    }
}

/// Appends events in the order given, with few statements however many they are.
///
/// # Errors
/// The database's own.
pub async fn append_all(tx: &Tx, envelopes: Vec<&Envelope>) -> Result<(), Error> {
    use sea_orm::ConnectionTrait as _;
    tx.write_deferred().await?;
    for chunk in envelopes.chunks(MAX_ROWS) {
        // Powers of two: each statement is prepared once.
        let mut rest = chunk;
        while let Some(bits) = rest.len().checked_ilog2() {
            let (rows, later) = rest.split_at(1 << bits);
            let sql = format!(
                "INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, traceparent, request_id, \
                 occurred_at_us, origin) VALUES {}",
                tuples(tx.get_database_backend(), rows.len())
            );
            let values = rows.iter().flat_map(|envelope| envelope.values());
            tx.execute_raw(tx.statement(&sql, values)).await?;
            rest = later;
        }
    }
    if !envelopes.is_empty() {
        tx.note_event();
    }
    Ok(())
}

/// On SQLite parameters have no names: each use of one would search all of them.
fn tuples(backend: DbBackend, rows: usize) -> String {
    let tuple = |row: usize| {
        let parameters = (1..=COLUMNS).map(|column| match backend {
            DbBackend::Sqlite => "?".to_owned(),
            _ => format!("${}", row * COLUMNS + column),
        });
        format!("({})", parameters.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(tuple).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_parameters_of_its_own() {
        assert_eq!(
            tuples(DbBackend::Postgres, 2),
            "($1, $2, $3, $4, $5, $6, $7, $8, $9), ($10, $11, $12, $13, $14, $15, $16, $17, $18)"
        );
    }
}

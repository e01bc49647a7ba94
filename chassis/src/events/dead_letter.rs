//! Dead letters: events that a consumer cannot handle are kept as rows, and the stream goes on.

use bytes::Bytes;
use sea_orm::ConnectionTrait;
use tonic::Code;

use super::Delivery;
use crate::{
    clock,
    db::{Db, Error},
};

/// Keeps an event that cannot be handled, with why. A second time changes nothing.
pub(super) async fn bury(
    db: &Db,
    delivery: &Delivery<Bytes>,
    code: Code,
    error: &str,
    attempts: i64,
) -> Result<(), Error> {
    db.write(|tx| async move {
        let statement = tx.statement(
            "INSERT INTO dead_letters (consumer, event_id, subject, aggregate_id, event_type, payload, code, error, \
             attempts, died_at_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
            [
                delivery.consumer.as_str().into(),
                delivery.event_id.into(),
                delivery.subject.as_str().into(),
                delivery.aggregate_id.as_str().into(),
                delivery.event_type.as_str().into(),
                delivery.message.to_vec().into(),
                format!("{code:?}").into(),
                error.into(),
                attempts.into(),
                clock::now_us().into(),
            ],
        );
        tx.execute_raw(statement).await?;
        Ok(())
    })
    .await
}

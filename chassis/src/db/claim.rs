//! The inbox: an event has its effect once, however often it is delivered.

use std::future::Future;

use sea_orm::ConnectionTrait;

use super::{Db, Error, Tx};
use crate::{clock, events::Delivery};

impl Db {
    /// Runs `unit` unless this consumer has handled the event before; claim and effect commit together.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn claim<M, E, F, Fut>(&self, delivery: &Delivery<M>, mut unit: F) -> Result<(), E>
    where
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let (consumer, event_id) = (&delivery.consumer, delivery.event_id);
        let unit = &mut unit;
        self.write(move |tx| {
            let effect = unit(tx.clone());
            async move {
                if claim(&tx, consumer, event_id).await? {
                    effect.await
                } else {
                    Ok(())
                }
            }
        })
        .await
    }
}

/// Whether the event is new to the consumer; then it is marked as handled.
async fn claim(tx: &Tx, consumer: &str, event_id: uuid::Uuid) -> Result<bool, Error> {
    let claimed = tx
        .execute_raw(tx.statement(
            "INSERT INTO inbox (consumer, event_id, handled_at_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            [consumer.into(), event_id.into(), clock::now_us().into()],
        ))
        .await?;
    Ok(claimed.rows_affected() == 1)
}

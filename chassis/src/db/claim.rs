//! The inbox: an event has its effect once, however often it is delivered.

use std::future::Future;

use sea_orm::ConnectionTrait;

use super::{Db, Error, Tx, batch::Claim};
use crate::{clock, events::Delivery};

impl Db {
    /// Runs `unit` unless this consumer has handled the event before; claim and effect commit together. On PostgreSQL too
    /// events that wait at the same time may share a commit; `unit` may then run a second time.
    ///
    /// # Errors
    /// As [`Db::write`].
    pub async fn claim<M, E, F, Fut>(&self, delivery: &Delivery<M>, mut unit: F) -> Result<(), E>
    where
        E: From<Error>,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let (consumer, event_id, epoch) = (&delivery.consumer, delivery.event_id, delivery.epoch);
        // An operator's hand is no part of a batch.
        let batched = epoch.map(|epoch| Claim {
            consumer: consumer.clone(),
            event_id,
            epoch,
        });
        let unit = &mut unit;
        self.write_as(batched.as_ref(), move |tx| {
            let effect = unit(tx.clone());
            async move {
                if tx.is_claimed() || claim(&tx, consumer, event_id, epoch).await? {
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
async fn claim(
    tx: &Tx,
    consumer: &str,
    event_id: uuid::Uuid,
    epoch: Option<i64>,
) -> Result<bool, Error> {
    let values: [sea_orm::Value; 3] = [consumer.into(), event_id.into(), clock::now_us().into()];
    let Some(epoch) = epoch else {
        let sql = "INSERT INTO inbox (consumer, event_id, handled_at_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let claimed = tx.execute_raw(tx.statement(sql, values)).await?;
        return Ok(claimed.rows_affected() == 1);
    };
    // A replica that was taken for gone must not act any more: its events are another one's now.
    let claimed = tx
        .execute_raw(tx.statement(
            "INSERT INTO inbox (consumer, event_id, handled_at_us) SELECT $1, $2, $3 \
             WHERE NOT EXISTS (SELECT 1 FROM consumers WHERE consumer = $1 AND epoch > $4) ON CONFLICT DO NOTHING",
            values.into_iter().chain([epoch.into()]),
        ))
        .await?;
    if claimed.rows_affected() == 1 {
        return Ok(true);
    }
    let newer = tx
        .query_one_raw(tx.statement(
            "SELECT epoch FROM consumers WHERE consumer = $1 AND epoch > $2",
            [consumer.into(), epoch.into()],
        ))
        .await?;
    match newer {
        Some(_) => Err(Error::Superseded),
        None => Ok(false),
    }
}

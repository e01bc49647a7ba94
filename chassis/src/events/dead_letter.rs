//! Dead letters: events that a consumer cannot handle are kept as rows, and the stream goes on.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use uuid::Uuid;

use super::{
    Delivery,
    attempt::{self, Event, Failure, Handler},
};
use crate::{
    clock,
    db::{Db, Error},
    error::code_name,
};

/// A dead letter as it is stored.
#[derive(Debug, FromQueryResult)]
pub(crate) struct DeadLetter {
    pub(crate) consumer: String,
    pub(crate) event_id: Uuid,
    pub(crate) subject: String,
    pub(crate) aggregate_id: String,
    pub(crate) event_type: String,
    pub(crate) payload: Vec<u8>,
    /// A JSON object.
    pub(crate) headers: Option<String>,
    pub(crate) code: String,
    pub(crate) error: String,
    pub(crate) attempts: i64,
    pub(crate) died_at_us: i64,
}

/// Keeps an event that cannot be handled, with why. A second time changes nothing, and neither does a replica that another one
/// has taken over from.
pub(super) async fn bury(
    db: &Db,
    event: &Event,
    failure: &Failure,
    attempts: i64,
) -> Result<(), Error> {
    let delivery = &event.delivery;
    db.write(|tx| async move {
        let statement = tx.statement(
            "INSERT INTO dead_letters (consumer, event_id, subject, aggregate_id, event_type, payload, headers, code, \
             error, attempts, died_at_us) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11 \
             WHERE NOT EXISTS (SELECT 1 FROM consumers WHERE consumer = $1 AND epoch > $12) ON CONFLICT DO NOTHING",
            [
                delivery.consumer.as_str().into(),
                delivery.event_id.into(),
                delivery.subject.as_str().into(),
                delivery.aggregate_id.as_str().into(),
                delivery.event_type.as_str().into(),
                delivery.message.to_vec().into(),
                headers_as_json(&event.headers).into(),
                code_name(failure.code).into(),
                failure.text.as_str().into(),
                attempts.into(),
                clock::now_us().into(),
                delivery.epoch.unwrap_or(i64::MAX).into(),
            ],
        );
        tx.execute_raw(statement).await?;
        Ok(())
    })
    .await
}

impl DeadLetter {
    /// Lets the consumer handle the event once more, and once only. Whether it did; then the dead letter is gone.
    ///
    /// # Errors
    /// The database's own.
    pub(crate) async fn redrive(&self, db: &Db, handler: &Handler) -> Result<bool, Error> {
        let event = self.event();
        let (consumer, id) = (self.consumer.as_str(), self.event_id);
        match attempt::within(&event, attempt::call(handler, &event)).await {
            Ok(()) => {
                let sql = "DELETE FROM dead_letters WHERE consumer = $1 AND event_id = $2";
                change(db, sql, vec![consumer.into(), id.into()]).await?;
                Ok(true)
            }
            Err(failure) => {
                let sql = "UPDATE dead_letters SET code = $3, error = $4, attempts = attempts + 1 \
                           WHERE consumer = $1 AND event_id = $2";
                let values = vec![
                    consumer.into(),
                    id.into(),
                    code_name(failure.code).into(),
                    failure.text.into(),
                ];
                change(db, sql, values).await?;
                Ok(false)
            }
        }
    }

    /// The headers as they were delivered.
    pub(crate) fn headers(&self) -> BTreeMap<String, String> {
        let text = self.headers.as_deref().unwrap_or("{}");
        serde_json::from_str(text).unwrap_or_default()
    }

    fn event(&self) -> Event {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
        Event {
            delivery: Delivery {
                consumer: self.consumer.clone(),
                event_id: self.event_id,
                subject: self.subject.clone(),
                event_type: self.event_type.clone(),
                aggregate_id: self.aggregate_id.clone(),
                time: super::read::time(&headers),
                message: self.payload.clone().into(),
                epoch: None,
            },
            headers,
            // What somebody else put on the subject has no type.
            is_event: !self.event_type.is_empty(),
            alone: false,
        }
    }
}

/// Dead letters of `consumer` (of all where it is empty) behind `after`, in the order of their events' ids.
///
/// # Errors
/// The database's own.
pub(crate) async fn list(
    db: &Db,
    consumer: &str,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<DeadLetter>, Error> {
    let connection = db.read();
    let statement = Statement::from_sql_and_values(
        connection.get_database_backend(),
        "SELECT * FROM dead_letters WHERE ($1 = '' OR consumer = $1) AND event_id > $2 \
         ORDER BY event_id, consumer LIMIT $3",
        [
            consumer.into(),
            after.unwrap_or(Uuid::nil()).into(),
            (limit as i64).into(),
        ],
    );
    Ok(DeadLetter::find_by_statement(statement)
        .all(connection)
        .await?)
}

/// One dead letter.
///
/// # Errors
/// The database's own.
pub(crate) async fn get(
    db: &Db,
    consumer: &str,
    event_id: Uuid,
) -> Result<Option<DeadLetter>, Error> {
    let connection = db.read();
    let statement = Statement::from_sql_and_values(
        connection.get_database_backend(),
        "SELECT * FROM dead_letters WHERE consumer = $1 AND event_id = $2",
        [consumer.into(), event_id.into()],
    );
    Ok(DeadLetter::find_by_statement(statement)
        .one(connection)
        .await?)
}

/// How many dead letters a consumer has.
///
/// # Errors
/// The database's own.
pub(crate) async fn count(db: &Db, consumer: &str) -> Result<i64, Error> {
    let connection = db.read();
    let row = connection
        .query_one_raw(Statement::from_sql_and_values(
            connection.get_database_backend(),
            "SELECT COUNT(*) AS n FROM dead_letters WHERE consumer = $1",
            [consumer.into()],
        ))
        .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get("", "n"))?)
}

async fn change(db: &Db, sql: &str, values: Vec<sea_orm::Value>) -> Result<(), Error> {
    let values = &values;
    db.write(|tx| async move {
        tx.execute_raw(tx.statement(sql, values.clone())).await?;
        Ok(())
    })
    .await
}

fn headers_as_json(headers: &HeaderMap) -> String {
    let headers: BTreeMap<_, _> = headers
        .iter()
        .filter_map(|(name, values)| Some((name.to_string(), values.first()?.as_str())))
        .collect();
    serde_json::to_string(&headers).unwrap_or_default()
}

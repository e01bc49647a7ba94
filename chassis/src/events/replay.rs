//! Hands events of the publisher's archive to a consumer once more, as an operator asks.

use sea_orm::{ConnectionTrait, Statement};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use super::{
    archive::Wanted,
    attempt::{Attempts, Outcome},
    read,
    registry::Entry,
};
use crate::{
    db::{Db, Error},
    status,
};

/// What a replay came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replayed {
    pub(crate) events: i64,
    /// Those that it had not handled before.
    pub(crate) handled: i64,
    pub(crate) dead_letters: i64,
}

/// Hands out every event since `from_us`, one after another. What the consumer has handled before its inbox drops.
///
/// # Errors
/// The consumer has no archive, or the publisher does not answer.
pub(crate) async fn replay(
    db: &Db,
    durable: &str,
    entry: &Entry,
    from_us: Option<i64>,
) -> Result<Replayed, Status> {
    let archive = entry.archive.as_ref().ok_or_else(|| {
        Status::failed_precondition("this consumer has no archive: UPSTREAMS names no publisher")
    })?;
    let wanted = Wanted {
        subject: entry.subject.clone(),
        from_us,
        sent_from_us: None,
    };
    let attempts = Attempts {
        handler: entry.handler.clone(),
        db: db.clone(),
        running: Semaphore::new(1),
        max_running: 1,
        // Dropped with the call.
        cancel: CancellationToken::new(),
    };
    let (mut position, mut replayed) = (0, Replayed::default());
    loop {
        let page = archive.page(&wanted, position).await?;
        for event in page.events {
            let Some(event) = read::archived(event, durable, None) else {
                continue;
            };
            replayed.events += 1;
            let is_known = is_handled(db, durable, event.delivery.event_id).await;
            if is_known.map_err(|error| status::from_error(&error))? {
                continue;
            }
            match attempts.settle(&event).await {
                Outcome::Handled => replayed.handled += 1,
                _ => replayed.dead_letters += 1,
            }
        }
        if page.next_position <= position {
            return Ok(replayed);
        }
        position = page.next_position;
    }
}

/// Whether the consumer's inbox has the event.
async fn is_handled(db: &Db, consumer: &str, event_id: Uuid) -> Result<bool, Error> {
    let connection = db.read();
    let found = connection
        .query_one_raw(Statement::from_sql_and_values(
            connection.get_database_backend(),
            "SELECT 1 AS found FROM inbox WHERE consumer = $1 AND event_id = $2",
            [consumer.into(), event_id.into()],
        ))
        .await?;
    Ok(found.is_some())
}

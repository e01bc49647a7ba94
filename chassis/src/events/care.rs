//! Events that may be what ends the process: tried alone, and counted before each try.
//!
//! A handler that aborts its process, or lets it run out of memory, takes the count of tries in memory with it, and would be
//! given its event again for ever. Counting each event would cost a commit. So a consumer that begins, with a new process, while
//! what the one before had in hand is not settled takes care: that is handled one by one, and each try is counted first. The
//! event at which processes end is a dead letter after [`MAX_ENDS`] tries, and nobody else is blamed for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use sea_orm::ConnectionTrait;

use super::{Delivery, catch_up::Standing};
use crate::{
    clock,
    db::{Db, Error},
};

/// Processes in a row that began before what was in hand was settled, until the next one takes care.
const CARELESS_BEGINNINGS: i64 = 1;
/// Tries of an event that may end the process before it is a dead letter.
pub(super) const MAX_ENDS: i64 = 3;

/// How careful a consumer is, for one turn of a process.
#[derive(Default)]
pub(super) struct Care {
    /// The process has noted where it began.
    noted: AtomicBool,
    /// Events of the stream up to this sequence are tried alone.
    until: AtomicU64,
    /// Events of the archive are tried alone.
    archive: AtomicBool,
}

impl Care {
    /// Notes that the process begins behind `floor` with messages up to `delivered` unsettled.
    pub(super) async fn begin(
        &self,
        db: &Db,
        consumer: &str,
        floor: u64,
        delivered: u64,
    ) -> Result<(), Error> {
        if self
            .is_needed(db, consumer, [floor as i64, delivered as i64])
            .await?
        {
            self.until.fetch_max(delivered, Relaxed);
        }
        Ok(())
    }

    /// Notes that the process begins to catch up behind `position` of the archive.
    pub(super) async fn begin_archive(
        &self,
        db: &Db,
        consumer: &str,
        position: i64,
    ) -> Result<(), Error> {
        // Apart from places in the stream.
        let place = -1 - position;
        if self.is_needed(db, consumer, [place, place + 1]).await? {
            self.archive.store(true, Relaxed);
        }
        Ok(())
    }

    pub(super) fn of_archive(&self) -> bool {
        self.archive.load(Relaxed)
    }

    pub(super) fn of_message(&self, sequence: u64) -> bool {
        sequence <= self.until.load(Relaxed)
    }

    /// Only the first beginning of a process tells anything: later ones show that it has survived.
    async fn is_needed(
        &self,
        db: &Db,
        consumer: &str,
        [place, until]: [i64; 2],
    ) -> Result<bool, Error> {
        if self.noted.load(Relaxed) {
            return Ok(false);
        }
        let beginnings = Standing::begin_at(db, consumer, place, until).await?;
        self.noted.store(true, Relaxed);
        let needed = beginnings > CARELESS_BEGINNINGS;
        if needed {
            tracing::warn!(
                consumer,
                beginnings,
                "processes end where this consumer begins: its events are tried one by one"
            );
        }
        Ok(needed)
    }
}

/// Counts a try that is about to begin, and answers how many there were with it that did not end.
pub(super) async fn count(db: &Db, delivery: &Delivery<bytes::Bytes>) -> Result<i64, Error> {
    db.write(|tx| async move {
        let row = tx
            .query_one_raw(tx.statement(
                "INSERT INTO event_tries (consumer, event_id, tries, tried_at_us) VALUES ($1, $2, 1, $3) \
                 ON CONFLICT (consumer, event_id) DO UPDATE SET tries = event_tries.tries + 1, \
                 tried_at_us = excluded.tried_at_us RETURNING tries",
                [
                    delivery.consumer.as_str().into(),
                    delivery.event_id.into(),
                    clock::now_us().into(),
                ],
            ))
            .await?
            .ok_or_else(|| Error::Corrupt("an upsert returned no row".into()))?;
        Ok(row.try_get("", "tries")?)
    })
    .await
}

/// Forgets the tries of an event: the last one ended, whatever came of it.
pub(super) async fn forget(db: &Db, delivery: &Delivery<bytes::Bytes>) -> Result<(), Error> {
    db.write(|tx| async move {
        let sql = "DELETE FROM event_tries WHERE consumer = $1 AND event_id = $2";
        let values = [delivery.consumer.as_str().into(), delivery.event_id.into()];
        tx.execute_raw(tx.statement(sql, values)).await?;
        Ok(())
    })
    .await
}

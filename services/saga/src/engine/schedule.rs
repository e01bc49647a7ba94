//! Finds sagas that are due and claims them: new ones beyond the limit, retries, deadlines, and those of an
//! orchestrator that went silent.

use std::time::Duration;

use chassis::{
    clock,
    db::{Error as StoreError, Tx},
};
use sea_orm::DbBackend;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{Engine, balance::GRACE, drive::Drive, micros};
use crate::{
    domain::Micros,
    error::Error,
    store::{due, entity::saga::Model, sagas::Hold},
};

/// Sagas claimed in one unit of work.
const MAX_CLAIMS: usize = 64;
/// Longest time between two looks, for what other replicas leave behind.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Shortest time between two looks.
const MIN_PAUSE: Duration = Duration::from_millis(5);
/// Time between two looks while a task of this process is late with its renewal, or others are to have what is due.
const LATE_PAUSE: Duration = Duration::from_millis(100);
/// Work that lies about for longer keeps new work out. Microseconds.
const MAX_LAG_US: Micros = 5_000_000;
/// Shortest time between two counts of open sagas.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

impl Engine {
    /// Works until `stop`, then gives every saga back.
    ///
    /// # Errors
    /// None; the signature is the chassis'.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let counting = tokio::spawn(self.clone().count_open());
        let forgetting = tokio::spawn(self.clone().forget());
        let balancing = tokio::spawn(self.clone().balance());
        // Nobody but this process writes to an SQLite file: what is owned was owned by a process that is gone.
        let mut ahead = match self.shared.db.read().get_database_backend() {
            DbBackend::Sqlite => self.shared.settings.lease,
            _ => Duration::ZERO,
        };
        while !stop.is_cancelled() {
            let pause = match self.claim_due(ahead).await {
                Ok(pause) => {
                    if !pause.is_zero() {
                        ahead = Duration::ZERO;
                    }
                    pause
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "due sagas could not be claimed"
                    );
                    MAX_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.shared.places.woken() => {}
                () = sleep(pause) => {}
            }
        }
        counting.abort();
        forgetting.abort();
        balancing.abort();
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        Ok(())
    }

    /// Claims what is due now or this much later, as far as there are places, and says how long nothing else is.
    async fn claim_due(&self, ahead: Duration) -> Result<Duration, Error> {
        let places = self.shared.places.free().min(MAX_CLAIMS);
        let now = clock::now_us();
        if places == 0 {
            let first = due::next_due(self.shared.db.read()).await?;
            let behind = first.is_some_and(|first| first < now - MAX_LAG_US);
            self.shared.places.set_behind(behind);
            // Who gives a place back wakes the schedule.
            return Ok(MAX_PAUSE);
        }
        let aside = self.shared.places.shares_out();
        let before = match aside {
            true => now - micros(GRACE),
            false => now.saturating_add(micros(ahead)),
        };
        let mut rows = due::due(self.shared.db.read(), before, places as u64).await?;
        let found = rows.len();
        let oldest = rows.first().and_then(|row| row.due_at_us);
        let lags = oldest.is_some_and(|oldest| oldest < now - MAX_LAG_US);
        self.shared.places.set_behind(lags && found == places);
        // Our own task is late with its renewal, not dead.
        rows.retain(|row| !self.shared.places.has(row.id));
        if rows.is_empty() && found > 0 {
            return Ok(LATE_PAUSE);
        }
        if rows.is_empty() {
            let next = due::next_due(self.shared.db.read()).await?;
            let wait = next.map_or(MAX_PAUSE, |next| {
                Duration::from_micros(u64::try_from(next - now).unwrap_or(0))
            });
            let least = if aside { LATE_PAUSE } else { MIN_PAUSE };
            return Ok(wait.clamp(least, MAX_PAUSE));
        }
        // Places come before claims: what is claimed without one would wait for its lease to end.
        let permits: Vec<_> = rows.iter().map_while(|_| self.permit()).collect();
        rows.truncate(permits.len());
        if rows.is_empty() {
            return Ok(MAX_PAUSE);
        }
        let lease_until = self.lease_until(now);
        let (owner, rows) = (self.shared.owner, &rows);
        let claimed: Vec<bool> = self
            .shared
            .db
            .write(|tx| async move { claim_all(&tx, rows, owner, before, lease_until).await })
            .await
            .map_err(Error::from)?;
        for ((row, permit), claimed) in rows.iter().zip(permits).zip(claimed) {
            if claimed {
                self.resume(row, lease_until, permit).await;
            }
        }
        Ok(if found == places {
            Duration::ZERO
        } else {
            MIN_PAUSE
        })
    }

    /// Goes on with a saga that was just claimed.
    async fn resume(&self, row: &Model, lease_until: Micros, permit: OwnedSemaphorePermit) {
        let takeover = row.owner.is_some_and(|owner| owner != self.shared.owner);
        if takeover {
            self.shared.metrics.taken_over(&row.definition);
        }
        match self.load(row).await {
            Ok((saga, _)) => {
                let hold = Hold {
                    epoch: row.epoch + 1,
                    records: row.records,
                    lease_until,
                };
                tracing::debug!(saga_id = %row.id, epoch = hold.epoch, takeover, "going on with a saga");
                let drive = Drive::new(self, saga, hold, permit);
                drive.spawn(row.traceparent.as_deref(), row.request_id.as_deref(), None);
            }
            // It comes again when the lease is over: the contract or the row may have been repaired by then.
            Err(error) => {
                tracing::error!(saga_id = %row.id, error = &error as &dyn std::error::Error, "a saga cannot go on");
            }
        }
    }

    async fn count_open(self) {
        loop {
            let start = Instant::now();
            match due::open(self.shared.db.read()).await {
                Ok(open) => self.shared.metrics.open(open),
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "open sagas not counted"
                ),
            }
            // With a million that wait, counting takes a while: no more than a hundredth of the time.
            sleep(COUNT_INTERVAL.max(start.elapsed() * 100)).await;
        }
    }
}

async fn claim_all(
    tx: &Tx,
    rows: &[Model],
    owner: uuid::Uuid,
    before: Micros,
    lease_until: Micros,
) -> Result<Vec<bool>, StoreError> {
    let mut claimed = Vec::with_capacity(rows.len());
    for row in rows {
        claimed.push(due::claim(tx, row, owner, before, lease_until).await?);
    }
    Ok(claimed)
}

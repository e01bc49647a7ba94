//! Sagas that ended some time ago lose what they were told, and later go altogether.

use std::time::Duration;

use chassis::{clock, db::Error as StoreError};
use tokio::time::sleep;
use uuid::Uuid;

use super::{Engine, fingerprint, read_input};
use crate::{
    domain::{Micros, saga},
    error::Error,
    store::{
        entity::saga::Model,
        retention::{self, Ended},
        sagas,
    },
};

/// Time between two rounds over all sagas.
const ROUND_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Sagas that one unit of work changes: others are not held up.
const MAX_BATCH: usize = 100;
/// Sagas looked at with one read.
const PAGE_ROWS: u64 = 1_000;
/// Pause after each unit of work, for everybody else.
const BREATH: Duration = Duration::from_millis(20);

/// How long sagas are kept after their end.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Their input, replies and payloads.
    pub data: Duration,
    /// All of them.
    pub saga: Duration,
}

impl Engine {
    /// Forgets what is too old, now and then, until it is dropped.
    pub(super) async fn forget(self) {
        loop {
            if let Err(error) = self.forget_round().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "old sagas were not forgotten yet"
                );
            }
            sleep(ROUND_INTERVAL).await;
        }
    }

    /// Looks once at every saga that began long enough ago.
    async fn forget_round(&self) -> Result<(), Error> {
        let retention = self.shared.settings.retention;
        let now = clock::now_us();
        let (erased, removed) = (ago(now, retention.data), ago(now, retention.saga));
        // Ended sagas are not younger than they are old.
        let bound = saga::first_id(erased.max(removed));
        let mut after = None;
        loop {
            let read = self.shared.db.read();
            let (ended, last) = retention::page(read, after, bound, PAGE_ROWS).await?;
            let (gone, kept): (Vec<_>, Vec<_>) =
                ended.into_iter().partition(|ended| ended.at < removed);
            self.remove(gone).await?;
            self.erase(
                kept.into_iter()
                    .filter(|ended| !ended.erased && ended.at < erased),
            )
            .await?;
            let Some(last) = last else {
                return Ok(());
            };
            after = Some(last);
        }
    }

    async fn remove(&self, gone: Vec<Ended>) -> Result<(), Error> {
        let ids: Vec<Uuid> = gone.into_iter().map(|ended| ended.id).collect();
        for ids in ids.chunks(MAX_BATCH) {
            self.shared
                .db
                .write(|tx| async move { retention::remove(&tx, ids).await })
                .await?;
            sleep(BREATH).await;
        }
        Ok(())
    }

    async fn erase(&self, kept: impl Iterator<Item = Ended>) -> Result<(), Error> {
        let kept: Vec<_> = kept.map(|ended| ended.id).collect();
        for ids in kept.chunks(MAX_BATCH) {
            let mut sagas = Vec::with_capacity(ids.len());
            for id in ids {
                let Some(row) = sagas::find(self.shared.db.read(), *id).await? else {
                    continue;
                };
                // One whose definition no longer compiles is forgotten, too; then no input counts as its own.
                let fingerprint = self.fingerprint_of(&row).await.unwrap_or_default();
                sagas.push((*id, fingerprint));
            }
            let sagas = &sagas;
            self.shared
                .db
                .write(|tx| async move {
                    retention::erase(&tx, sagas).await?;
                    Ok::<_, StoreError>(())
                })
                .await?;
            sleep(BREATH).await;
        }
        Ok(())
    }

    async fn fingerprint_of(&self, row: &Model) -> Result<Vec<u8>, Error> {
        let registry = &self.shared.registry;
        let definition = registry.version(&row.definition, row.version).await?;
        fingerprint(&read_input(&definition, &row.input)?)
    }
}

fn ago(now: Micros, age: Duration) -> Micros {
    now.saturating_sub(Micros::try_from(age.as_micros()).unwrap_or(Micros::MAX))
}

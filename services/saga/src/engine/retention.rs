//! Sagas that ended some time ago lose what they were told, and later go altogether.

use std::time::Duration;

use chassis::{clock, db::Error as StoreError};
use tokio::time::sleep;
use uuid::Uuid;

use super::{Engine, fingerprint, read_input};
use crate::{
    domain::Micros,
    error::Error,
    store::{entity::saga::Model, retention, sagas},
};

/// Time between two rounds.
const ROUND_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Sagas that one unit of work changes: others are not held up.
const MAX_BATCH: u64 = 100;
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

    /// Removes and erases all that has been kept for long enough.
    async fn forget_round(&self) -> Result<(), Error> {
        let retention = self.shared.settings.retention;
        let now = clock::now_us();
        for erased in [true, false] {
            loop {
                let gone = self.ended(erased, ago(now, retention.saga)).await?;
                if gone.is_empty() {
                    break;
                }
                let gone = &gone;
                self.shared
                    .db
                    .write(|tx| async move { retention::remove(&tx, gone).await })
                    .await?;
                sleep(BREATH).await;
            }
        }
        loop {
            let ended = self.ended(false, ago(now, retention.data)).await?;
            if ended.is_empty() {
                return Ok(());
            }
            self.erase(&ended).await?;
            sleep(BREATH).await;
        }
    }

    async fn ended(&self, erased: bool, before: Micros) -> Result<Vec<Uuid>, Error> {
        let read = self.shared.db.read();
        Ok(retention::ended(read, erased, before, MAX_BATCH).await?)
    }

    async fn erase(&self, ids: &[Uuid]) -> Result<(), Error> {
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

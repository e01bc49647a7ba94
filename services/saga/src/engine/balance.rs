//! Shares what is at work among the orchestrators of one database: who has more than its share hands sagas over between
//! two of their calls, and leaves what is due to the others for a moment.

use std::{collections::BTreeMap, time::Duration};

use chassis::{clock, db::Error as StoreError};
use sea_orm::DbBackend;
use tokio::time::sleep;
use uuid::Uuid;

use super::{Engine, micros};
use crate::{error::Error, store::orchestrators};

/// Looks at the others within one lease.
const LOOKS_PER_LEASE: u32 = 3;
/// Leases after which one that was not seen is forgotten.
const FORGOTTEN_AFTER_LEASES: i64 = 10;
/// A saga that has not been at work here for as long is likely to end before another one had it.
pub(super) const MIN_STAY: Duration = Duration::from_secs(1);
/// For how long the others may take what is due before one with more than its share does: they look once a second.
pub(super) const GRACE: Duration = Duration::from_millis(1_500);

impl Engine {
    /// Looks at the others until it is dropped.
    pub(super) async fn balance(self) {
        if self.shared.db.read().get_database_backend() == DbBackend::Sqlite {
            // Nobody but this process writes to the file.
            return;
        }
        loop {
            if let Err(error) = self.look_around().await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the other orchestrators were not seen"
                );
            }
            sleep(self.shared.settings.lease / LOOKS_PER_LEASE).await;
        }
    }

    async fn look_around(&self) -> Result<(), Error> {
        let (now, lease) = (clock::now_us(), micros(self.shared.settings.lease));
        let gone = now.saturating_sub(lease.saturating_mul(FORGOTTEN_AFTER_LEASES));
        let owner = self.shared.owner;
        self.shared
            .db
            .write(|tx| async move {
                orchestrators::seen(&tx, owner, now, gone).await?;
                Ok::<_, StoreError>(())
            })
            .await?;
        let read = self.shared.db.read();
        let at_work = orchestrators::at_work(read, now.saturating_sub(lease)).await?;
        let excess = excess(&at_work, owner);
        if excess > 0 {
            tracing::info!(
                excess,
                orchestrators = at_work.len(),
                "others get some of its sagas"
            );
        }
        self.shared.places.set_excess(excess);
        Ok(())
    }
}

/// How many sagas are too many for `own`; none as long as it has hardly more than the others.
fn excess(at_work: &BTreeMap<Uuid, i64>, own: Uuid) -> u32 {
    /// What nobody minds.
    const MIN_EXCESS: i64 = 8;
    let count = i64::try_from(at_work.len()).unwrap_or(i64::MAX).max(1);
    let total: i64 = at_work.values().sum();
    let share = (total + count - 1) / count;
    let mine = at_work.get(&own).copied().unwrap_or(0);
    let excess = mine - share;
    if excess < MIN_EXCESS.max(share / 4) {
        return 0;
    }
    u32::try_from(excess).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_than_its_share_has_too_many() {
        let excess = |mine, others: &[i64]| {
            let own = Uuid::from_u128(1);
            let others = (2..).map(Uuid::from_u128).zip(others.iter().copied());
            super::excess(&others.chain([(own, mine)]).collect(), own)
        };
        assert_eq!(excess(1_000, &[]), 0, "alone");
        assert_eq!(excess(40, &[0]), 20);
        assert_eq!(excess(900, &[0, 0]), 600);
        assert_eq!(excess(20, &[20]), 0);
        assert_eq!(excess(0, &[900, 0]), 0);
        assert_eq!(excess(520, &[480]), 0, "hardly more");
        assert_eq!(excess(10, &[0]), 0, "hardly any");
    }
}

//! What a saga's task keeps: records, the lease, and the way out.

use std::time::Duration;

use chassis::clock;
use futures::StreamExt as _;
use tokio::time::{Instant, sleep};

use super::{super::balance::MIN_STAY, Calls, Drive, Over, RENEWAL_SHARE};
use crate::{
    domain::{Micros, transition::Transition},
    events,
    store::{
        due,
        sagas::{Change, Next},
    },
};

/// Longest wait for calls under way when the service drains; then their outcome counts as unknown.
const MAX_DRAIN_WAIT: Duration = Duration::from_secs(3);
/// Waits between two tries to store what happened: from and to.
const STORE_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

impl Drive {
    /// Stores transitions under the hold's epoch, again and again until it is known whether they are kept.
    pub(super) async fn store(
        &mut self,
        transitions: &[Transition],
        next: Next,
        now: Micros,
    ) -> Result<(), Over> {
        let (saga, hold) = (&self.saga, self.hold);
        let mut wait = STORE_BACKOFF.0;
        loop {
            let stored = match events::publish::events(saga, transitions, now) {
                Ok(mut events) => {
                    events.extend(self.audit.clone());
                    let epoch = hold.epoch;
                    let change = Change::save(saga, (hold, epoch), transitions, events, next, now);
                    self.engine.shared.keeper.keep(change).await
                }
                Err(error) => Err(error),
            };
            match stored {
                Ok(true) => break,
                Ok(false) => return Err(self.lost("somebody else has it")),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a saga could not be stored yet"
                ),
            }
            if self.engine.shared.stop.is_cancelled() {
                return Err(self.lost("it could not be stored before the end"));
            }
            sleep(wait).await;
            wait = (wait * 2).min(STORE_BACKOFF.1);
        }
        self.audit = None;
        self.hold.records += i32::try_from(transitions.len()).unwrap_or(i32::MAX);
        // Without one the task ends.
        self.hold.lease_until = next.due_at.unwrap_or(now);
        Ok(())
    }

    pub(super) async fn renew(&mut self) -> Result<(), Over> {
        let (id, epoch, owner) = (self.saga.id(), self.hold.epoch, self.engine.shared.owner);
        let lease_until = self.engine.lease_until(clock::now_us());
        let renewed = self
            .engine
            .shared
            .db
            .write(|tx| async move { due::renew(&tx, id, epoch, owner, lease_until).await })
            .await;
        match renewed {
            Ok(true) => self.hold.lease_until = lease_until,
            Ok(false) => return Err(self.lost("somebody else has it")),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a lease could not be renewed yet"
                );
                sleep(
                    STORE_BACKOFF
                        .1
                        .min(self.engine.shared.settings.lease / RENEWAL_SHARE),
                )
                .await;
            }
        }
        Ok(())
    }

    /// On the way out: records what is still answered in time and gives the saga back.
    pub(super) async fn hand_over(&mut self, mut calls: Calls) -> Over {
        let mut transitions = Vec::new();
        let end = Instant::now() + MAX_DRAIN_WAIT;
        while let Ok(Some(outcome)) = tokio::time::timeout_at(end, calls.next()).await {
            self.settle(outcome, &mut transitions);
        }
        self.leave(&transitions).await
    }

    /// Another orchestrator is to have it: between two calls, and not one that is likely to end soon.
    pub(super) fn is_too_many(&self) -> bool {
        self.since.elapsed() >= MIN_STAY && self.engine.shared.places.take_excess()
    }

    /// Records what happened and gives the saga back.
    pub(super) async fn leave(&mut self, transitions: &[Transition]) -> Over {
        let now = clock::now_us();
        let next = Next {
            owner: None,
            due_at: Some(now),
        };
        match self.store(transitions, next, now).await {
            Ok(()) | Err(Over) => Over,
        }
    }

    pub(super) fn lost(&self, why: &str) -> Over {
        tracing::warn!(
            epoch = self.hold.epoch,
            why,
            "this orchestrator lets go of a saga"
        );
        self.engine.shared.metrics.lost();
        Over
    }
}

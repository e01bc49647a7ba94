//! Carries sagas out: claims them, calls participants, keeps what happened.
//!
//! A saga that is worked on has one task ([`drive`]) and a lease in its row; one that waits longer than a moment
//! has only its row, and the [`schedule`] finds it when it is due. Every write names the epoch of the claim, so that
//! an orchestrator that lost its lease changes nothing any more.

use std::{sync::Arc, time::Duration};

use chassis::db::Db;
use tokio::{sync::OwnedSemaphorePermit, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    domain::{
        Micros,
        saga::{Saga, State},
    },
    error::Error,
    participants::Participants,
    registry::Registry,
    store::sagas::Next,
};

mod balance;
mod drive;
mod intervene;
mod keeper;
mod load;
mod metrics;
mod places;
mod retention;
mod schedule;
mod start;

pub use intervene::Intervention;
pub(crate) use load::{fingerprint, input_descriptor, read_input};
pub use retention::Retention;
pub use start::Beginning;

use keeper::Keeper;
use metrics::Metrics;
use places::Places;

/// A wait that is shorter stays in the saga's task; for a longer one only the row waits.
const MAX_WAIT_IN_TASK_US: Micros = 1_000_000;

/// Longest time that new work waits while the old does not get its turn.
const MAX_ADMISSION_WAIT: Duration = Duration::from_secs(2);

/// The engine's settings.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Time after which somebody else takes over.
    pub lease: Duration,
    /// Sagas that are worked on at a time.
    pub concurrency: u32,
    /// How long sagas are kept after their end.
    pub retention: Retention,
}

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    db: Db,
    keeper: Keeper,
    registry: Registry,
    participants: Participants,
    settings: Settings,
    /// This process, as leases name it.
    owner: Uuid,
    places: Arc<Places>,
    stop: CancellationToken,
    tasks: TaskTracker,
    metrics: Metrics,
}

impl Engine {
    /// An engine; it works on nothing before [`Self::run`].
    pub fn new(db: Db, registry: Registry, participants: Participants, settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                keeper: Keeper::start(&db),
                db,
                registry,
                participants,
                settings,
                owner: Uuid::now_v7(),
                places: Arc::new(Places::new(settings.concurrency as usize)),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
                metrics: Metrics::new(),
            }),
        }
    }

    /// The engine's definitions.
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// The engine's database.
    pub fn db(&self) -> &Db {
        &self.shared.db
    }

    /// Waits a moment for new work to be welcome.
    ///
    /// # Errors
    /// [`Error::Overloaded`]: more sagas are due than can be worked on, or the service goes.
    pub async fn admit(&self) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.shared.places.caught_up() => Ok(()),
            () = self.shared.stop.cancelled() => Err(Error::Overloaded),
            () = sleep(MAX_ADMISSION_WAIT) => Err(Error::Overloaded),
        }
    }

    /// Whether the engine works on nothing new any more.
    pub fn is_stopping(&self) -> bool {
        self.shared.stop.is_cancelled()
    }

    /// A place to work on one saga; `None` while all are taken, or on the way out.
    fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if self.shared.stop.is_cancelled() {
            return None;
        }
        self.shared.places.permit()
    }

    fn lease_until(&self, now: Micros) -> Micros {
        now.saturating_add(micros(self.shared.settings.lease))
    }

    /// Who has a saga from now on, and when somebody has to look at it. A lease that is there is only renewed when it is
    /// time for that: most changes of a saga leave the columns alone that are indexed.
    fn outlook(&self, saga: &Saga, now: Micros, lease_until: Option<Micros>) -> Next {
        if saga.state().is_final() || saga.state() == State::Parked {
            return Next {
                owner: None,
                due_at: None,
            };
        }
        if saga.needs_new_epoch() {
            // Whoever claims it raises the epoch.
            return Next {
                owner: None,
                due_at: Some(now),
            };
        }
        let lease = self.shared.settings.lease;
        let young = self.lease_until(now) - micros(lease / drive::RENEWAL_SHARE);
        let held = Next {
            owner: Some(self.shared.owner),
            due_at: lease_until
                .filter(|until| *until > young)
                .or_else(|| Some(self.lease_until(now))),
        };
        if saga.awaits_answers() {
            return held;
        }
        match saga.wake_at() {
            Some(at) if at > now.saturating_add(MAX_WAIT_IN_TASK_US) => Next {
                owner: None,
                due_at: Some(at),
            },
            _ => held,
        }
    }
}

fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}

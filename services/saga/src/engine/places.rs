//! The sagas that this process works on, each in one place.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use uuid::Uuid;

use super::drive::Command;

/// Interventions that wait for one saga's task.
const MAX_COMMANDS: usize = 8;

/// The places, and who has them.
pub(super) struct Places {
    permits: Arc<Semaphore>,
    running: Mutex<HashMap<Uuid, Running>>,
    /// Whether more sagas are due than there are places, for some time now.
    behind: watch::Sender<bool>,
    /// Sagas that other orchestrators are to have.
    excess: AtomicU32,
    /// Whether there were any when this one last looked at the others.
    shares_out: AtomicBool,
    /// Something may be due earlier than the schedule thinks, or a place is free again.
    wake: Notify,
}

/// How the task of a saga is reached. The epoch tells it from a later task of the same saga.
struct Running {
    epoch: i64,
    commands: mpsc::Sender<Command>,
}

/// A saga's place. However its task ends, also by a panic, the saga can be claimed again afterwards.
pub(super) struct Place {
    places: Arc<Places>,
    saga: Uuid,
    epoch: i64,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(places: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(places)),
            running: Mutex::default(),
            behind: watch::Sender::new(false),
            excess: AtomicU32::new(0),
            shares_out: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }

    /// How many are free now.
    pub(super) fn free(&self) -> usize {
        self.permits.available_permits()
    }

    /// The right to one of them; `None` while all are taken.
    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Lists a saga's task; the task that was listed before, if any, finds itself fenced.
    pub(super) fn enlist(
        self: &Arc<Self>,
        saga: Uuid,
        epoch: i64,
        permit: OwnedSemaphorePermit,
    ) -> (Place, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(MAX_COMMANDS);
        self.running().insert(saga, Running { epoch, commands });
        let place = Place {
            places: Arc::clone(self),
            saga,
            epoch,
            permit: Some(permit),
        };
        (place, receiver)
    }

    /// Whether a task of this process has the saga.
    pub(super) fn has(&self, saga: Uuid) -> bool {
        self.running().contains_key(&saga)
    }

    /// How the saga's task is reached, where one has it.
    pub(super) fn commands(&self, saga: Uuid) -> Option<mpsc::Sender<Command>> {
        self.running().get(&saga).map(|task| task.commands.clone())
    }

    /// Says how many sagas are to be handed over to others.
    pub(super) fn set_excess(&self, excess: u32) {
        self.excess.store(excess, Relaxed);
        self.shares_out.store(excess > 0, Relaxed);
    }

    /// Whether one more saga is to be handed over; then it counts as handed over.
    pub(super) fn take_excess(&self) -> bool {
        let taken = self
            .excess
            .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        taken.is_ok()
    }

    /// Whether others are to have what is due, where they want it.
    pub(super) fn shares_out(&self) -> bool {
        self.shares_out.load(Relaxed)
    }

    /// Says whether work lies about for longer than it should.
    pub(super) fn set_behind(&self, behind: bool) {
        self.behind
            .send_if_modified(|known| std::mem::replace(known, behind) != behind);
    }

    /// Waits until no work lies about for longer than it should.
    pub(super) async fn caught_up(&self) {
        // The sender lives as long as this does.
        let _ = self.behind.subscribe().wait_for(|behind| !behind).await;
    }

    /// Has the schedule look again.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until somebody wants the schedule to look again.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Uuid, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                saga_id = %self.saga,
                epoch = self.epoch,
                "the task of a saga panicked; it goes on when its lease is over"
            );
        }
        {
            let mut running = self.places.running();
            if running
                .get(&self.saga)
                .is_some_and(|task| task.epoch == self.epoch)
            {
                running.remove(&self.saga);
            }
        }
        // Free before the schedule looks.
        drop(self.permit.take());
        self.places.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_leaves_its_place() {
        let places = Arc::new(Places::new(1));
        let saga = Uuid::now_v7();
        let permit = places.permit().expect("a free place");
        let (place, _commands) = places.enlist(saga, 1, permit);
        assert!(places.has(saga) && places.free() == 0);
        let task = tokio::spawn(async move {
            let _place = place;
            tokio::task::yield_now().await;
            panic!("as the test says");
        });
        assert!(task.await.expect_err("it panicked").is_panic());
        assert!(!places.has(saga), "it can be claimed again");
        assert_eq!(places.free(), 1);
        assert!(
            places.woken().now_or_never().is_some(),
            "the schedule looks"
        );
    }

    #[test]
    fn a_fenced_task_does_not_take_its_successor_off_the_list() {
        let places = Arc::new(Places::new(2));
        let saga = Uuid::now_v7();
        let enlist = |epoch| {
            let permit = places.permit().expect("a free place");
            places.enlist(saga, epoch, permit)
        };
        let (old, new) = (enlist(1), enlist(2));
        drop(old);
        assert!(places.has(saga));
        drop(new);
        assert!(!places.has(saga));
    }
}

//! The queues of a consumer: events of one aggregate one after another, those of others beside them.
//!
//! An event that fails for the time being holds back its own aggregate and nobody else. Everything here is bounded by the
//! number of events that are held at all.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{
    Subject,
    jetstream::{self, AckKind},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempts, Event, Handler, Outcome};
use crate::db::Db;

/// Most events that a consumer holds.
pub(super) const MAX_HELD_EVENTS: usize = 512;
/// Handlers of a consumer that run at the same time.
const MAX_RUNNING: u32 = 128;

/// An event with what acknowledges it.
struct Work {
    event: Event,
    /// `None` where it comes from an archive.
    message: Option<jetstream::Message>,
    _place: OwnedSemaphorePermit,
}

/// The queues and those who work them off.
#[derive(Clone)]
pub(super) struct Queues {
    shared: Arc<Shared>,
}

struct Shared {
    attempts: Attempts,
    places: Arc<Semaphore>,
    /// What waits behind the event under way, by aggregate.
    waiting: Mutex<HashMap<String, VecDeque<Work>>>,
    /// Messages that are not settled yet: where their acknowledgements go, and since when they are held.
    held: Mutex<HashMap<u64, (Subject, Instant)>>,
}

impl Queues {
    pub(super) fn new(handler: &Handler, db: &Db, cancel: CancellationToken) -> Self {
        let attempts = Attempts {
            handler: handler.clone(),
            db: db.clone(),
            running: Semaphore::new(MAX_RUNNING as usize),
            max_running: MAX_RUNNING,
            cancel,
        };
        Self {
            shared: Arc::new(Shared {
                attempts,
                places: Arc::new(Semaphore::new(MAX_HELD_EVENTS)),
                waiting: Mutex::default(),
                held: Mutex::default(),
            }),
        }
    }

    /// Puts an event behind those of its aggregate. Waits while too many are held.
    pub(super) async fn hand_out(&self, event: Event, message: Option<jetstream::Message>) {
        let Ok(place) = self.shared.places.clone().acquire_owned().await else {
            return;
        };
        if let Some((sequence, reply)) = message.as_ref().and_then(handle) {
            lock(&self.shared.held).insert(sequence, (reply, Instant::now()));
        }
        let aggregate = event.delivery.aggregate_id.clone();
        let work = Work {
            event,
            message,
            _place: place,
        };
        match lock(&self.shared.waiting).entry(aggregate.clone()) {
            Entry::Occupied(mut queue) => return queue.get_mut().push_back(work),
            Entry::Vacant(free) => drop(free.insert(VecDeque::new())),
        }
        let queues = self.clone();
        tokio::spawn(async move {
            let mut next = Some(work);
            while let Some(work) = next {
                queues.shared.settle(work).await;
                next = queues.shared.behind(&aggregate);
            }
        });
    }

    /// Waits until nothing is held any more.
    pub(super) async fn idle(&self) {
        let all = u32::try_from(MAX_HELD_EVENTS).unwrap_or(u32::MAX);
        // Never closed.
        let _ = self.shared.places.acquire_many(all).await;
    }

    /// Whether nothing is held right now.
    pub(super) fn is_idle(&self) -> bool {
        self.shared.places.available_permits() == MAX_HELD_EVENTS
    }

    /// Where to say for which messages that they are still worked on: those held longer than `age`.
    pub(super) fn held_longer_than(&self, age: Duration) -> Vec<Subject> {
        lock(&self.shared.held)
            .values()
            .filter(|(_, since)| since.elapsed() > age)
            .map(|(reply, _)| reply.clone())
            .collect()
    }
}

impl Shared {
    async fn settle(&self, work: Work) {
        let outcome = self.attempts.settle(&work.event).await;
        let Some(message) = &work.message else { return };
        if let Some((sequence, _)) = handle(message) {
            lock(&self.held).remove(&sequence);
        }
        let kind = match outcome {
            Outcome::Handled => AckKind::Ack,
            Outcome::DeadLetter => AckKind::Term,
            Outcome::Left => return,
        };
        // A lost acknowledgement only means that the event comes again.
        if let Err(error) = message.ack_with(kind).await {
            tracing::debug!(%error, "acknowledgement was not sent");
        }
    }

    /// The next event of an aggregate; its queue goes when there is none.
    fn behind(&self, aggregate: &str) -> Option<Work> {
        let mut waiting = lock(&self.waiting);
        let next = waiting.get_mut(aggregate)?.pop_front();
        if next.is_none() {
            waiting.remove(aggregate);
        }
        next
    }
}

/// What tells a message from others of its stream, and where its acknowledgement goes.
fn handle(message: &jetstream::Message) -> Option<(u64, Subject)> {
    Some((message.info().ok()?.stream_sequence, message.reply.clone()?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

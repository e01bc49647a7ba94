//! Tells those who wait for an order that it has changed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use uuid::Uuid;

/// Most callers that wait at a time.
const MAX_WATCHERS: usize = 10_000;
/// First wait for a change that another replica made; doubles with each look that shows none.
/// What this replica changes is seen at once.
const FIRST_LOOK: Duration = Duration::from_millis(500);
/// Longest wait for such a change. With [`MAX_WATCHERS`] it bounds what waiting costs the database.
const MAX_LOOK: Duration = Duration::from_secs(5);

/// The orders that somebody waits for.
#[derive(Clone, Debug, Default)]
pub struct Watchers {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    orders: HashMap<Uuid, Watched>,
    /// Of all orders together.
    watchers: usize,
}

#[derive(Debug, Default)]
struct Watched {
    changed: Arc<Notify>,
    watchers: usize,
}

/// Somebody who waits for one order.
#[derive(Debug)]
pub struct Watcher {
    watchers: Watchers,
    order: Uuid,
    changed: Arc<Notify>,
}

impl Watchers {
    /// Begins to wait for an order; `None` where too many wait already. Read the order after this, not before.
    pub fn watch(&self, order: Uuid) -> Option<Watcher> {
        let mut waiting = self.lock();
        if waiting.watchers >= MAX_WATCHERS {
            return None;
        }
        waiting.watchers += 1;
        let watched = waiting.orders.entry(order).or_default();
        watched.watchers += 1;
        Some(Watcher {
            watchers: self.clone(),
            order,
            changed: watched.changed.clone(),
        })
    }

    /// Says that an order has changed. Call it after the commit.
    pub fn changed(&self, order: Uuid) {
        if let Some(watched) = self.lock().orders.get(&order) {
            watched.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in between the counters' changes can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Reads the order until `done` says that it is what the caller waits for, and at each change in between.
    /// Changes during a read are not missed.
    pub async fn until<T, E, F>(
        &self,
        mut read: impl FnMut() -> F,
        done: impl Fn(&T) -> bool,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut look = FIRST_LOOK;
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let value = read().await?;
            if done(&value) {
                return Ok(value);
            }
            look = match tokio::time::timeout(look, changed).await {
                Ok(()) => FIRST_LOOK,
                Err(_) => (look * 2).min(MAX_LOOK),
            };
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut waiting = self.watchers.lock();
        waiting.watchers -= 1;
        if let Some(watched) = waiting.orders.get_mut(&self.order) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                waiting.orders.remove(&self.order);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn a_change_wakes_who_waits_and_nobody_is_left_behind() {
        let watchers = Watchers::default();
        let order = Uuid::now_v7();
        let watcher = watchers.watch(order).expect("room");
        let value = AtomicUsize::new(0);
        let wait = watcher.until(
            || async { Ok::<_, ()>(value.load(Relaxed)) },
            |value| *value == 1,
        );
        let change = async {
            value.store(1, Relaxed);
            watchers.changed(order);
        };
        let (seen, ()) = tokio::join!(wait, change);
        assert_eq!(seen, Ok(1));
        drop(watcher);
        assert!(watchers.lock().orders.is_empty());
    }

    #[test]
    fn watchers_of_one_order_count_too() {
        let watchers = Watchers::default();
        let order = Uuid::now_v7();
        let mut all: Vec<_> = (0..MAX_WATCHERS)
            .map(|_| watchers.watch(order).expect("room"))
            .collect();
        assert!(watchers.watch(order).is_none());
        assert!(watchers.watch(Uuid::now_v7()).is_none());
        all.pop();
        assert!(watchers.watch(Uuid::now_v7()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_long_looks_less_often() {
        let watchers = Watchers::default();
        let watcher = watchers.watch(Uuid::now_v7()).expect("room");
        let looks = AtomicUsize::new(0);
        let wait = watcher.until(
            || async { Ok::<_, ()>(looks.fetch_add(1, Relaxed)) },
            |_| false,
        );
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(waited.is_err());
        // At 0, 0.5, 1.5, 3.5, 7.5 s, and then every 5 s.
        assert_eq!(looks.load(Relaxed), 15);
    }
}

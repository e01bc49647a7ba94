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
/// Longest time until a change is seen that another replica made.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The orders that somebody waits for.
#[derive(Clone, Debug, Default)]
pub struct Watchers {
    orders: Arc<Mutex<HashMap<Uuid, Watched>>>,
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
        let mut orders = self.lock();
        if orders.len() >= MAX_WATCHERS {
            return None;
        }
        let watched = orders.entry(order).or_default();
        watched.watchers += 1;
        Some(Watcher {
            watchers: self.clone(),
            order,
            changed: watched.changed.clone(),
        })
    }

    /// Says that an order has changed. Call it after the commit.
    pub fn changed(&self, order: Uuid) {
        if let Some(watched) = self.lock().get(&order) {
            watched.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Watched>> {
        // A counter and a handle are whole at every moment.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
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
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let value = read().await?;
            if done(&value) {
                return Ok(value);
            }
            let _ = tokio::time::timeout(LOOK_EVERY, changed).await;
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut orders = self.watchers.lock();
        if let Some(watched) = orders.get_mut(&self.order) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                orders.remove(&self.order);
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
        assert!(watchers.lock().is_empty());
    }
}

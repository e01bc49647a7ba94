//! The consumers that run in this process, for those who look at them and hand them events.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_nats::jetstream;

use super::{archive::Archive, attempt::Handler};

/// Consumers by their durable's name.
#[derive(Default)]
pub(crate) struct Registry {
    entries: Mutex<BTreeMap<String, Entry>>,
    alone: tokio::sync::Mutex<()>,
}

/// A consumer that runs.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) subject: String,
    pub(crate) handler: Handler,
    pub(super) archive: Option<Archive>,
    pub(crate) jetstream: jetstream::Context,
    /// Whether this replica is the one that consumes.
    pub(crate) is_active: bool,
}

impl Registry {
    pub(super) fn add(&self, durable: &str, entry: Entry) {
        self.lock().insert(durable.to_owned(), entry);
    }

    pub(super) fn remove(&self, durable: &str) {
        self.lock().remove(durable);
    }

    pub(super) fn set_active(&self, durable: &str, is_active: bool) {
        if let Some(entry) = self.lock().get_mut(durable) {
            entry.is_active = is_active;
        }
    }

    /// The consumer of this name.
    pub(crate) fn get(&self, durable: &str) -> Option<Entry> {
        self.lock().get(durable).cloned()
    }

    /// Every consumer, by name.
    pub(crate) fn all(&self) -> Vec<(String, Entry)> {
        let entries = self.lock();
        entries
            .iter()
            .map(|(name, entry)| (name.clone(), entry.clone()))
            .collect()
    }

    /// Waits until no event of any consumer is tried alone.
    pub(super) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.alone.lock().await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

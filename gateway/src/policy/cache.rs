//! Answers that are kept: bounded in bytes, parted by resource so that a change forgets what was kept of it.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::compress::Variants;

/// Parts of the memory, each with a lock of its own.
const SHARDS: usize = 16;
/// What an entry costs beside its key and body, in bytes.
const ENTRY_BYTES: usize = 512;
/// Most resources of a shard whose change is remembered; beyond that the shard is emptied.
const MAX_CHANGED: usize = 1024;
/// Most questions of a shard that others wait for; beyond that each asks for itself.
const MAX_FLIGHTS: usize = 1024;

/// An answer that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) variants: Variants,
    pub(crate) etag: HeaderValue,
    /// When it was asked for.
    pub(crate) asked_at: Instant,
    pub(crate) fresh_until: Instant,
    pub(crate) stale_until: Instant,
}

impl Kept {
    /// Memory that it may take under `key`, in bytes: all encodings together are hardly larger than the text.
    fn bytes(&self, key: &[u8]) -> usize {
        key.len() + 2 * self.body.len() + ENTRY_BYTES
    }
}

/// A weak tag, since the same answer goes out in several encodings.
pub(crate) fn etag(body: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(body);
    let mut text = String::with_capacity(36);
    text.push_str("W/\"");
    for byte in &digest[..16] {
        text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
        text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
    }
    text.push('"');
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("W/\"\""))
}

/// How a question that others wait for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Running,
    Stored,
    /// It failed or may not be kept: each asks for itself.
    NotKept,
}

/// What is known of a question.
pub(crate) enum Lookup {
    /// Kept and fresh.
    Fresh(Arc<Kept>),
    /// Somebody asks already.
    Wait(watch::Receiver<Outcome>),
    /// The caller asks for all; with what is kept for the case that it fails.
    Ask(Option<watch::Sender<Outcome>>, Option<Arc<Kept>>),
}

/// All answers that are kept.
#[derive(Debug)]
pub(crate) struct Store {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Most bytes of one generation of one shard.
    max_bytes: usize,
}

type Key = Box<[u8]>;

#[derive(Debug, Default)]
struct Shard {
    young: Generation,
    old: Generation,
    /// Resources by their hash, and when they changed.
    changed: HashMap<u64, Instant>,
    flights: HashMap<Key, watch::Receiver<Outcome>>,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<Key, (u64, Arc<Kept>)>,
    bytes: usize,
}

impl Store {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            max_bytes: max_bytes / SHARDS / 2,
        }
    }

    /// What is known of `key`. `refresh`: what is kept does not count.
    pub(crate) fn find(&self, resource: &str, key: &[u8], refresh: bool) -> Lookup {
        let (mut shard, resource) = self.shard(resource);
        let kept = shard.get(resource, key);
        let now = Instant::now();
        if let Some(kept) = kept
            .as_ref()
            .filter(|kept| kept.fresh_until > now && !refresh)
        {
            return Lookup::Fresh(kept.clone());
        }
        let kept = kept.filter(|kept| kept.stale_until > now);
        // A flight whose asker is gone has no sender any more.
        if let Some(flight) = shard.flights.get(key)
            && *flight.borrow() == Outcome::Running
            && flight.has_changed().is_ok()
        {
            return Lookup::Wait(flight.clone());
        }
        if shard.flights.len() >= MAX_FLIGHTS {
            shard
                .flights
                .retain(|_, flight| flight.has_changed().is_ok());
        }
        if shard.flights.len() >= MAX_FLIGHTS {
            return Lookup::Ask(None, kept);
        }
        let (sender, receiver) = watch::channel(Outcome::Running);
        shard.flights.insert(key.into(), receiver);
        Lookup::Ask(Some(sender), kept)
    }

    /// What is kept, maybe no longer fresh.
    pub(crate) fn kept(&self, resource: &str, key: &[u8]) -> Option<Arc<Kept>> {
        let (mut shard, resource) = self.shard(resource);
        let kept = shard.get(resource, key);
        kept.filter(|kept| kept.stale_until > Instant::now())
    }

    /// Keeps an answer, unless its resource changed since it was asked for or it is too large.
    pub(crate) fn keep(&self, resource: &str, key: &[u8], kept: Arc<Kept>) {
        let bytes = kept.bytes(key);
        if bytes > self.max_bytes {
            return;
        }
        let (mut shard, resource) = self.shard(resource);
        if shard.is_outdated(resource, &kept) {
            return;
        }
        if shard.young.bytes + bytes > self.max_bytes {
            shard.old = mem::take(&mut shard.young);
        }
        shard.old.remove(key);
        shard.young.remove(key);
        shard.young.insert(key.into(), resource, kept);
    }

    /// Nobody asks any more.
    pub(crate) fn landed(&self, resource: &str, key: &[u8]) {
        self.shard(resource).0.flights.remove(key);
    }

    /// A resource changed: what was asked for until now is no longer true.
    pub(crate) fn forget(&self, resource: &str) {
        let (mut shard, resource) = self.shard(resource);
        if shard.young.entries.is_empty()
            && shard.old.entries.is_empty()
            && shard.flights.is_empty()
        {
            return;
        }
        if shard.changed.len() >= MAX_CHANGED {
            shard.changed.clear();
            shard.young = Generation::default();
            shard.old = Generation::default();
        }
        shard.changed.insert(resource, Instant::now());
    }

    fn shard(&self, resource: &str) -> (MutexGuard<'_, Shard>, u64) {
        let hash = self.hasher.hash_one(resource);
        let shard = &self.shards[(hash >> 32) as usize % SHARDS];
        (shard.lock().unwrap_or_else(PoisonError::into_inner), hash)
    }
}

impl Shard {
    fn get(&mut self, resource: u64, key: &[u8]) -> Option<Arc<Kept>> {
        let kept = match self.young.entries.get(key) {
            Some((_, kept)) => kept.clone(),
            None => {
                // Used again: it survives the next generation.
                let (resource, kept) = self.old.remove(key)?;
                self.young.insert(key.into(), resource, kept.clone());
                kept
            }
        };
        if self.is_outdated(resource, &kept) {
            self.young.remove(key);
            return None;
        }
        Some(kept)
    }

    fn is_outdated(&self, resource: u64, kept: &Kept) -> bool {
        let changed = self.changed.get(&resource);
        changed.is_some_and(|changed| *changed >= kept.asked_at)
    }
}

impl Generation {
    fn insert(&mut self, key: Key, resource: u64, kept: Arc<Kept>) {
        self.bytes += kept.bytes(&key);
        self.entries.insert(key, (resource, kept));
    }

    fn remove(&mut self, key: &[u8]) -> Option<(u64, Arc<Kept>)> {
        let found = self.entries.remove(key)?;
        self.bytes -= found.1.bytes(key);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kept(body: &str) -> Arc<Kept> {
        let now = Instant::now();
        Arc::new(Kept {
            headers: HeaderMap::new(),
            body: body.to_owned().into(),
            variants: Variants::default(),
            etag: etag(body.as_bytes()),
            asked_at: now,
            fresh_until: now + Duration::from_secs(60),
            stale_until: now + Duration::from_secs(120),
        })
    }

    #[test]
    fn a_change_forgets_what_was_asked_before() {
        let store = Store::new(1024 * 1024);
        store.keep("/a", b"/a?x", kept("old"));
        let asked_before = kept("on its way");
        assert!(store.kept("/a", b"/a?x").is_some());
        store.forget("/a");
        assert!(store.kept("/a", b"/a?x").is_none());
        store.keep("/a", b"/a?x", asked_before);
        assert!(store.kept("/a", b"/a?x").is_none());
        while Instant::now()
            <= *store
                .shard("/a")
                .0
                .changed
                .values()
                .next()
                .expect("a change")
        {}
        store.keep("/a", b"/a?x", kept("new"));
        assert_eq!(store.kept("/a", b"/a?x").expect("kept").body, "new");
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let store = Store::new(1024 * 1024);
        let body = "x".repeat(1000);
        store.keep("/used", b"/used", kept(&body));
        for index in 0..3_000 {
            let path = format!("/{index}");
            store.keep(&path, path.as_bytes(), kept(&body));
            assert!(store.kept("/used", b"/used").is_some(), "{index}");
        }
        let bytes: usize = store
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().expect("no panic");
                let counted = |generation: &Generation| {
                    let all = generation.entries.iter();
                    let bytes = all.map(|(key, (_, kept))| kept.bytes(key));
                    assert_eq!(bytes.sum::<usize>(), generation.bytes);
                    generation.bytes
                };
                counted(&shard.young) + counted(&shard.old)
            })
            .sum();
        assert!(bytes <= 1024 * 1024 + SHARDS * 4096, "{bytes}");
        store.keep("/large", b"/large", kept(&"x".repeat(1024 * 1024)));
        assert!(store.kept("/large", b"/large").is_none());
    }

    #[test]
    fn one_asks_and_when_he_goes_another() {
        let store = Store::new(1024 * 1024);
        let Lookup::Ask(Some(first), None) = store.find("/a", b"/a", false) else {
            panic!("the first asks");
        };
        assert!(matches!(store.find("/a", b"/a", false), Lookup::Wait(_)));
        drop(first);
        assert!(matches!(
            store.find("/a", b"/a", false),
            Lookup::Ask(Some(_), None)
        ));
    }
}

//! Remembers tokens that were checked, so that a signature is checked once and not at each call.

use std::{collections::HashMap, mem, sync::Mutex};

use sha2::{Digest as _, Sha256};

/// Most tokens that are remembered, in two generations of half as many.
const MAX_TOKENS: usize = 8192;
/// Parts of the memory, each with a lock of its own.
const SHARDS: usize = 16;

/// A bounded memory: what was not asked for during a whole generation is forgotten.
pub(super) struct Seen<V> {
    shards: [Mutex<Generations<V>>; SHARDS],
}

type Generation<V> = HashMap<[u8; 32], V>;

struct Generations<V> {
    young: Generation<V>,
    old: Generation<V>,
}

impl<V: Clone> Seen<V> {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| {
                Mutex::new(Generations {
                    young: HashMap::new(),
                    old: HashMap::new(),
                })
            }),
        }
    }

    /// The name under which a token is remembered; the token itself is not kept.
    pub(super) fn digest(token: &str) -> [u8; 32] {
        Sha256::digest(token.as_bytes()).into()
    }

    pub(super) fn get(&self, digest: &[u8; 32]) -> Option<V> {
        let mut generations = self.lock(digest);
        if let Some(value) = generations.young.get(digest) {
            return Some(value.clone());
        }
        let value = generations.old.remove(digest)?;
        generations.insert(*digest, value.clone());
        Some(value)
    }

    pub(super) fn insert(&self, digest: [u8; 32], value: V) {
        self.lock(&digest).insert(digest, value);
    }

    fn lock(&self, digest: &[u8; 32]) -> std::sync::MutexGuard<'_, Generations<V>> {
        self.shards[usize::from(digest[0]) % SHARDS]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<V> Generations<V> {
    fn insert(&mut self, digest: [u8; 32], value: V) {
        if self.young.len() >= MAX_TOKENS / SHARDS / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(digest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let seen = Seen::new();
        let used = Seen::<usize>::digest("used");
        seen.insert(used, 7);
        for i in 0..MAX_TOKENS * 3 {
            seen.insert(Seen::<usize>::digest(&i.to_string()), i);
            assert_eq!(seen.get(&used), Some(7));
        }
        let kept = seen.shards.iter().map(|generations| {
            let generations = generations.lock().unwrap();
            generations.young.len() + generations.old.len()
        });
        assert!(kept.sum::<usize>() <= MAX_TOKENS);
        assert_eq!(seen.get(&Seen::<usize>::digest("0")), None);
    }
}

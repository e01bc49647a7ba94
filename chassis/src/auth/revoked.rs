//! Access tokens that count no more though they have not ended. Identity tells of them; whoever checks tokens remembers them.

use std::{
    collections::HashMap,
    mem,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use contracts::caravan::identity::v1::Revocation;
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{claims::Claims, keys::KeySource, verifier::LEEWAY};

/// Most revocations that are remembered, in two generations of half as many: beyond that the oldest are forgotten.
const MAX_REVOCATIONS: usize = 262_144;
/// Identity says something at least every 10 s; after this long without a word the connection counts as broken.
const SILENCE: Duration = Duration::from_secs(25);
/// Pause before identity is asked again that was away.
const RETRY: Duration = Duration::from_secs(1);
const US_PER_S: u64 = 1_000_000;

/// The name under which identity tells of a session, a token, an account or a client: who does not know the id learns nothing.
pub fn mark(id: Uuid) -> [u8; 16] {
    first_bytes(id.as_bytes())
}

/// The id that stands for a client in revocations.
pub fn client_uuid(client_id: &str) -> Uuid {
    Uuid::from_bytes(first_bytes(client_id.as_bytes()))
}

fn first_bytes(text: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

/// What revocations may name of a token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// Of its session, itself, and its account or client.
    names: [Option<[u8; 16]>; 3],
    /// Microseconds since 1970.
    made_us: u64,
}

impl Marks {
    pub(super) fn of(claims: &Claims) -> Self {
        Self {
            names: claims.revocable_by().map(|id| id.map(mark)),
            made_us: claims.made_us(),
        }
    }
}

/// Microseconds since 1970 until which the tokens that bear a mark were made that count no more.
type Generation = HashMap<[u8; 16], u64>;

/// What was revoked of late.
#[derive(Debug, Default)]
pub(super) struct Revoked {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    young: Generation,
    /// When the last of the young ones has ended, in seconds since 1970.
    young_end_s: u64,
    old: Generation,
    old_end_s: u64,
}

impl Revoked {
    /// Whether a token with these marks counts no more.
    pub(super) fn has(&self, marks: &Marks) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let generations = [&known.young, &known.old];
        let mut generations = generations.into_iter().filter(|known| !known.is_empty());
        generations.any(|known| {
            let mut names = marks.names.iter().flatten();
            names.any(|name| known.get(name).is_some_and(|until| marks.made_us <= *until))
        })
    }

    /// Remembers what identity tells, until `stop`. While identity is away it stays as it was.
    pub(super) async fn follow(&self, source: &dyn KeySource, stop: CancellationToken) {
        let follow = async {
            loop {
                let mut told = source.revocations();
                let end = loop {
                    match timeout(SILENCE, told.next()).await {
                        Ok(Some(Ok(revocations))) => self.add(&revocations),
                        Ok(Some(Err(status))) => break status.message().to_owned(),
                        Ok(None) => break "the stream has ended".to_owned(),
                        Err(_) => break "silence".to_owned(),
                    }
                };
                tracing::debug!(reason = end, "identity tells of no revocations");
                tokio::time::sleep(RETRY).await;
            }
        };
        stop.run_until_cancelled(follow).await;
    }

    fn add(&self, revocations: &[Revocation]) {
        if revocations.is_empty() {
            return;
        }
        let now = jsonwebtoken::get_current_timestamp();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            known.add(revocation, now);
        }
    }
}

impl Known {
    fn add(&mut self, revocation: &Revocation, now: u64) {
        let seconds = |time: &prost_types::Timestamp| u64::try_from(time.seconds).unwrap_or(0);
        let end = revocation.expire_time.as_ref().map_or(0, seconds);
        let Ok(mark) = <[u8; 16]>::try_from(&*revocation.mark) else {
            return;
        };
        let until = revocation.made_until.as_ref().map_or(u64::MAX, |time| {
            let us = u64::try_from(time.nanos / 1_000).unwrap_or(0);
            seconds(time).saturating_mul(US_PER_S).saturating_add(us)
        });
        let is_over = self.old_end_s.saturating_add(LEEWAY.as_secs()) < now;
        if self.young.len() >= MAX_REVOCATIONS / 2 || (is_over && !self.young.is_empty()) {
            if !is_over {
                tracing::warn!(
                    most = MAX_REVOCATIONS,
                    "too many revoked tokens: the oldest are forgotten"
                );
            }
            self.old = mem::take(&mut self.young);
            self.old_end_s = mem::take(&mut self.young_end_s);
        }
        let known = self.young.entry(mark).or_default();
        *known = until.max(*known);
        self.young_end_s = self.young_end_s.max(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_000_000;

    fn told(id: Uuid, made_until_s: Option<i64>, end_s: u64) -> Revocation {
        let time = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        Revocation {
            mark: mark(id).to_vec(),
            made_until: made_until_s.map(time),
            expire_time: i64::try_from(end_s).ok().map(time),
        }
    }

    fn token(id: Uuid, made_s: u64) -> Marks {
        Marks {
            names: [None, Some(mark(Uuid::now_v7())), Some(mark(id))],
            made_us: made_s * US_PER_S,
        }
    }

    fn has(known: Known, marks: &Marks) -> (bool, Known) {
        let revoked = Revoked {
            known: RwLock::new(known),
        };
        let has = revoked.has(marks);
        (has, revoked.known.into_inner().expect("not poisoned"))
    }

    #[test]
    fn a_revocation_ends_the_tokens_that_it_names() {
        let (ended, changed) = (Uuid::now_v7(), Uuid::now_v7());
        let mut known = Known::default();
        known.add(&told(ended, None, NOW_S + 900), NOW_S);
        known.add(&told(changed, Some(1_000_000), NOW_S + 900), NOW_S);
        // The same again, as of an earlier time: the later one counts.
        known.add(&told(changed, Some(999_990), NOW_S + 900), NOW_S);
        for (token, is_revoked) in [
            (token(ended, NOW_S + 10), true),
            (token(changed, NOW_S), true),
            (token(changed, NOW_S + 1), false),
            (token(Uuid::now_v7(), NOW_S), false),
            (Marks::default(), false),
        ] {
            let (has, rest) = has(known, &token);
            assert_eq!(has, is_revoked, "{token:?}");
            known = rest;
        }
    }

    #[test]
    fn what_is_over_goes_and_what_is_not_stays() {
        let ids: Vec<_> = (0..5).map(|_| Uuid::now_v7()).collect();
        let mut known = Known::default();
        for (turn, id) in (0..).zip(&ids) {
            let now = NOW_S + turn * 600;
            known.add(&told(*id, None, now + 900), now);
            for before in ids.iter().take(turn as usize + 1) {
                let place = ids.iter().position(|id| id == before).expect("one of them");
                let is_over = NOW_S + place as u64 * 600 + 900 < now;
                let (has, rest) = has(known, &token(*before, NOW_S));
                assert!(has || is_over, "{place} at {turn}");
                known = rest;
            }
        }
        assert!(known.young.len() + known.old.len() < ids.len());
    }

    #[test]
    fn memory_is_bounded() {
        let mut known = Known::default();
        let told = told(Uuid::nil(), None, NOW_S + 900);
        let last = (0..=MAX_REVOCATIONS).map(|number| {
            let mark = (number as u128).to_be_bytes();
            let revocation = Revocation {
                mark: mark.to_vec(),
                ..told.clone()
            };
            known.add(&revocation, NOW_S);
            mark
        });
        let last = last.last().expect("many");
        assert!(known.young.len() + known.old.len() <= MAX_REVOCATIONS);
        assert!(known.young.contains_key(&last));
    }
}

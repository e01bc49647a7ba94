//! Revoked tokens as this replica knows them, for those who check tokens. All replicas write the table; each follows it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chassis::{auth::mark, clock, db::Db};
use contracts::caravan::identity::v1 as pb;
use futures::{Stream, stream};
use time::OffsetDateTime;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{domain::revocation::Revocation, store};

/// Time between two looks at the table.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a row may take from its time to its commit, and how far replicas' clocks may be apart: so far back each look goes.
const OVERLAP: time::Duration = time::Duration::seconds(20);
/// Longest time without a word to whoever listens.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Most revocations of one message.
const MAX_TOLD: usize = 10_000;

/// What is known, and told to those who listen. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations {
    log: Arc<watch::Sender<Log>>,
}

impl Default for Revocations {
    fn default() -> Self {
        let (log, _) = watch::channel(Log::default());
        Self { log: Arc::new(log) }
    }
}

impl Revocations {
    /// Takes up what any replica revokes, until `drain`.
    pub async fn follow(&self, db: &Db, drain: &CancellationToken) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        while drain.run_until_cancelled(looks.tick()).await.is_some() {
            let (newest, now) = (self.log.borrow().newest, clock::now());
            match store::revoked_tokens::since(db.read(), newest - OVERLAP, now).await {
                Ok(found) => {
                    self.log.send_if_modified(|log| log.take(found, now));
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "revoked tokens were not read");
                }
            }
        }
    }

    /// All that count still, at once, then each as it comes; nothing now and then, as a sign of life.
    pub fn told(&self) -> impl Stream<Item = Vec<pb::Revocation>> + Send + use<> {
        let listener = (self.log.subscribe(), None);
        stream::unfold(listener, |(mut log, seen)| async move {
            loop {
                let (found, next) = log.borrow_and_update().behind(seen.unwrap_or(0));
                if !found.is_empty() || seen.is_none() {
                    return Some((found, (log, Some(next))));
                }
                match timeout(SIGN_OF_LIFE, log.changed()).await {
                    Ok(changed) => changed.ok()?,
                    Err(_) => return Some((Vec::new(), (log, seen))),
                }
            }
        })
    }
}

/// Revocations in the order in which they were found.
#[derive(Debug)]
struct Log {
    entries: VecDeque<Revocation>,
    /// How many have gone from its beginning.
    gone: usize,
    /// What is known of each id: the same is not taken twice.
    known: HashMap<Uuid, Revocation>,
    /// When the last one was revoked.
    newest: OffsetDateTime,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            gone: 0,
            known: HashMap::new(),
            newest: OffsetDateTime::UNIX_EPOCH + OVERLAP,
        }
    }
}

impl Log {
    /// Whether there is something new among these.
    fn take(&mut self, found: Vec<Revocation>, now: OffsetDateTime) -> bool {
        while let Some(over) = self.entries.pop_front_if(|first| first.ends <= now) {
            self.gone += 1;
            if self.known.get(&over.id) == Some(&over) {
                self.known.remove(&over.id);
            }
        }
        let end = self.entries.len();
        for revocation in found {
            self.newest = self.newest.max(revocation.revoked);
            if self.known.insert(revocation.id, revocation) != Some(revocation) {
                self.entries.push_back(revocation);
            }
        }
        self.entries.len() > end
    }

    /// What was found after the first `seen`, and how many have been then.
    fn behind(&self, seen: usize) -> (Vec<pb::Revocation>, usize) {
        let skipped = seen.saturating_sub(self.gone);
        let found = self.entries.iter().skip(skipped).take(MAX_TOLD);
        let found: Vec<_> = found.map(message).collect();
        let next = self.gone + skipped + found.len();
        (found, next)
    }
}

fn message(revocation: &Revocation) -> pb::Revocation {
    pb::Revocation {
        mark: mark(revocation.id).to_vec(),
        made_until: revocation.made_until.map(clock::timestamp),
        expire_time: Some(clock::timestamp(revocation.ends)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::revocation::Moment;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn moment(second: i64) -> Moment {
        let now = START + time::Duration::seconds(second);
        Moment {
            now,
            ends: now + time::Duration::minutes(15),
        }
    }

    fn marks(told: &[pb::Revocation]) -> Vec<Vec<u8>> {
        told.iter()
            .map(|revocation| revocation.mark.clone())
            .collect()
    }

    #[test]
    fn each_is_told_once_and_in_its_order() {
        let ids: Vec<_> = (0..4).map(|_| Uuid::now_v7()).collect();
        let [a, b, c, d] = *ids else { unreachable!() };
        let whole = |id, second| Revocation::for_good(id, moment(second));
        let mut log = Log::default();
        assert!(log.take(vec![whole(a, 1), whole(b, 2)], START));
        let (told, seen) = log.behind(0);
        assert_eq!(
            (marks(&told), seen),
            (marks(&[message(&whole(a, 1)), message(&whole(b, 2))]), 2)
        );
        // The same rows are found again, and one that was committed late.
        assert!(!log.take(vec![whole(a, 1), whole(b, 2)], START));
        assert!(log.take(vec![whole(c, 0), whole(b, 2)], START));
        let (told, seen) = log.behind(seen);
        assert_eq!((marks(&told), seen), (marks(&[message(&whole(c, 0))]), 3));
        // Revoked once more, until later.
        let again = Revocation::until_now(d, moment(3));
        let later = Revocation::until_now(d, moment(4));
        assert!(log.take(vec![again], START) && log.take(vec![later], START));
        let (told, seen) = log.behind(seen);
        assert_eq!((told, seen), (vec![message(&again), message(&later)], 5));
        // What is over goes; whoever has seen it misses nothing.
        assert!(!log.take(Vec::new(), moment(2).ends));
        assert_eq!((log.gone, log.known.len()), (3, 1));
        let (told, seen) = log.behind(4);
        assert_eq!((told, seen), (vec![message(&later)], 5));
        assert_eq!(log.behind(0).0.len(), log.entries.len());
    }
}

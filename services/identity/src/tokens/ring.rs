//! The keys that there are at a time: one signs, a newer one may wait for its turn, older ones still count.

use aws_lc_rs::error::KeyRejected;
use chassis::clock;
use contracts::caravan::identity::v1 as pb;
use time::{Duration, OffsetDateTime};

use super::signing_key::SigningKey;
use crate::store::signing_keys::Stored;

/// How long a key stays beyond the end of its last token: clocks are apart, and replicas take up a new key one by one.
const STAYS_LONGER: Duration = Duration::MINUTE;

/// Keys, newest first.
pub(super) struct Ring(Vec<Entry>);

struct Entry {
    key: SigningKey,
    generation: i64,
    created: OffsetDateTime,
    signs_from: OffsetDateTime,
    longest_token: Duration,
}

impl Ring {
    pub(super) fn read(newest_first: &[Stored]) -> Result<Self, KeyRejected> {
        let entries = newest_first.iter().map(|stored| {
            Ok::<_, KeyRejected>(Entry {
                key: SigningKey::read(&stored.private_key)?,
                generation: stored.generation,
                created: clock::from_us(stored.created_at_us),
                signs_from: clock::from_us(stored.signs_from_us),
                longest_token: Duration::microseconds(stored.longest_token_us),
            })
        });
        Ok(Self(entries.collect::<Result<_, _>>()?))
    }

    /// The key that signs now; `None` where there is none at all.
    pub(super) fn signing(&self, now: OffsetDateTime) -> Option<&SigningKey> {
        self.0.get(self.turn(now)).map(|entry| &entry.key)
    }

    /// The key with this id, where it still counts.
    pub(super) fn find(&self, kid: &str, now: OffsetDateTime) -> Option<&SigningKey> {
        self.counting(now)
            .map(|entry| &entry.key)
            .find(|key| key.public().kid == kid)
    }

    /// Every key that counts or will, as verifiers are told.
    pub(super) fn public(&self, now: OffsetDateTime) -> Vec<pb::JsonWebKey> {
        self.counting(now)
            .map(|entry| entry.key.public().clone())
            .collect()
    }

    /// The same for operators.
    pub(super) fn list(&self, now: OffsetDateTime) -> Vec<pb::SigningKey> {
        let turn = self.turn(now);
        let all = self.0.iter().enumerate();
        let counting = all.filter(|(place, _)| self.ends(*place).is_none_or(|ends| now < ends));
        counting
            .map(|(place, entry)| pb::SigningKey {
                key_id: entry.key.public().kid.clone(),
                algorithm: entry.key.public().alg.clone(),
                state: match place.cmp(&turn) {
                    std::cmp::Ordering::Less => pb::SigningKeyState::Next,
                    std::cmp::Ordering::Equal => pb::SigningKeyState::Signing,
                    std::cmp::Ordering::Greater => pb::SigningKeyState::Retired,
                }
                .into(),
                create_time: Some(clock::timestamp(entry.created)),
                sign_time: Some(clock::timestamp(entry.signs_from.max(entry.created))),
                expire_time: self.ends(place).map(clock::timestamp),
            })
            .collect()
    }

    /// Generations of keys that count no more.
    pub(super) fn over(&self, now: OffsetDateTime) -> Vec<i64> {
        let all = self.0.iter().enumerate();
        all.filter(|(place, _)| self.ends(*place).is_some_and(|ends| ends <= now))
            .map(|(_, entry)| entry.generation)
            .collect()
    }

    /// Number of the newest key, and when its turn begins.
    pub(super) fn newest(&self) -> Option<(i64, OffsetDateTime)> {
        let entry = self.0.first()?;
        Some((entry.generation, entry.signs_from.max(entry.created)))
    }

    /// Whether tokens that last this long outlive what some key knows of.
    pub(super) fn is_outlived_by(&self, token: Duration) -> bool {
        self.0.iter().any(|entry| entry.longest_token < token)
    }

    fn counting(&self, now: OffsetDateTime) -> impl Iterator<Item = &Entry> {
        let all = self.0.iter().enumerate();
        all.filter(move |(place, _)| self.ends(*place).is_none_or(|ends| now < ends))
            .map(|(_, entry)| entry)
    }

    /// The place of the key that signs: the newest whose turn has begun, or else the oldest there is.
    fn turn(&self, now: OffsetDateTime) -> usize {
        let begun = self.0.iter().position(|entry| entry.signs_from <= now);
        begun.unwrap_or(self.0.len().saturating_sub(1))
    }

    /// When the key at a place counts no more: when the last token has ended that it signed before a newer one took over.
    fn ends(&self, place: usize) -> Option<OffsetDateTime> {
        let newer = self.0.get(place.checked_sub(1)?)?;
        let lasts = self.0[place].longest_token.saturating_add(STAYS_LONGER);
        Some(newer.signs_from.saturating_add(lasts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::signing_key;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const TOKEN: Duration = Duration::minutes(15);

    fn ring(signs_from: &[OffsetDateTime]) -> Ring {
        let mut stored: Vec<_> = (1..)
            .zip(signs_from)
            .map(|(generation, from)| Stored {
                generation,
                private_key: signing_key::generate().expect("randomness"),
                created_at_us: 0,
                signs_from_us: clock::to_us(*from),
                longest_token_us: clock::to_us(START + TOKEN),
            })
            .collect();
        stored.reverse();
        Ring::read(&stored).expect("good keys")
    }

    fn states(ring: &Ring, now: OffsetDateTime) -> Vec<pb::SigningKeyState> {
        ring.list(now).iter().map(pb::SigningKey::state).collect()
    }

    #[test]
    fn a_key_is_published_then_signs_then_counts_until_its_last_token_ends() {
        use pb::SigningKeyState::{Next, Retired, Signing};

        let turn = START + Duration::HOUR;
        let ring = ring(&[START, turn]);
        let before = turn - Duration::MICROSECOND;
        assert_eq!(states(&ring, before), [Next, Signing]);
        assert_eq!(states(&ring, turn), [Signing, Retired]);
        let kid = |now| ring.signing(now).expect("a key").public().kid.clone();
        assert_ne!(kid(before), kid(turn));
        let last = turn + TOKEN + STAYS_LONGER;
        for now in [before, turn, last - Duration::MICROSECOND] {
            assert_eq!(ring.public(now).len(), 2);
            assert!(ring.find(&kid(before), now).is_some() && ring.over(now).is_empty());
        }
        assert_eq!(states(&ring, last), [Signing]);
        assert_eq!(ring.over(last), [1]);
        assert!(ring.find(&kid(before), last).is_none());
    }

    #[test]
    fn the_only_key_signs_whatever_the_clock_says() {
        let ring = ring(&[START + Duration::HOUR]);
        assert!(ring.signing(START).is_some());
        assert!(Ring::read(&[]).expect("fine").signing(START).is_none());
    }
}

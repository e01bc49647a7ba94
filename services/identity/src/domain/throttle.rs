//! Slows down whoever guesses passwords: of one account, or from one network address. Nobody is locked out for good.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Wrong passwords that one account may have before it has to wait.
pub const MAX_FAILURES: u32 = 10;
/// Failures that one network address may have before it has to wait: there may be many people behind it.
pub const MAX_FAILURES_OF_ADDRESS: u32 = 50;
/// First wait; it doubles with each failure after that.
pub const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// Accounts and network addresses that are remembered; beyond that the oldest one is forgotten.
pub const MAX_REMEMBERED: usize = 65_536;

/// Time after which one failure of an account is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(5 * 60);
/// Time after which one failure of a network address is forgotten.
const FORGET_ADDRESS_AFTER: Duration = Duration::from_secs(20);
/// Bits of an IPv6 address that somebody's network has; the others are theirs to choose.
const IPV6_NETWORK: u128 = u128::MAX << 64;

/// Too many failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Time until the next try.
    pub retry_after: Duration,
}

/// Whose tries are counted together.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Key<'a> {
    /// The account with this e-mail address, whether there is one or not.
    Account(&'a str),
    /// A network address; of IPv6 the network.
    Address(IpAddr),
}

impl Key<'_> {
    /// The key of a network address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK).into(),
            address => address,
        })
    }

    fn max_failures(self) -> u32 {
        match self {
            Self::Account(_) => MAX_FAILURES,
            Self::Address(_) => MAX_FAILURES_OF_ADDRESS,
        }
    }

    fn forget_after(self) -> Duration {
        match self {
            Self::Account(_) => FORGET_AFTER,
            Self::Address(_) => FORGET_ADDRESS_AFTER,
        }
    }
}

/// The failures of late, by account and by network address.
#[derive(Debug, Default)]
pub struct Throttle {
    /// Keeps strangers from choosing names that fall together with somebody else's.
    hasher: RandomState,
    tallies: HashMap<u64, Tally>,
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    /// Failures that are not forgotten yet, as of `counted`.
    failures: f64,
    counted: Instant,
    /// Waits since there were no failures.
    waits: u32,
    waits_until: Option<Instant>,
    /// When nothing of it is left.
    over: Instant,
}

impl Tally {
    fn failures(&self, key: Key<'_>, now: Instant) -> f64 {
        let forgotten =
            now.duration_since(self.counted).as_secs_f64() / key.forget_after().as_secs_f64();
        (self.failures - forgotten).max(0.0)
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        self.waits_until?
            .checked_duration_since(now)
            .filter(|wait| !wait.is_zero())
    }

    fn fail(&mut self, key: Key<'_>, now: Instant) {
        let before = self.failures(key, now);
        if before == 0.0 {
            self.waits = 0;
        }
        (self.failures, self.counted) = (before + 1.0, now);
        // Forgetting goes on all the time: the tenth failure of a while counts as the tenth.
        if self.failures > f64::from(key.max_failures()) - 1.0 {
            let wait = FIRST_WAIT
                .saturating_mul(2_u32.saturating_pow(self.waits))
                .min(LONGEST_WAIT);
            self.waits = self.waits.saturating_add(1);
            self.waits_until = Some(now + wait);
        }
        let forgotten = now + key.forget_after().mul_f64(self.failures);
        self.over = self.waits_until.map_or(forgotten, |end| end.max(forgotten));
    }
}

impl Throttle {
    /// Whether these may try.
    ///
    /// # Errors
    /// One of them failed too often; the longest wait.
    pub fn check(&self, keys: &[Key<'_>], now: Instant) -> Result<(), TooMany> {
        let tallies = keys
            .iter()
            .filter_map(|key| self.tallies.get(&self.hasher.hash_one(key)));
        match tallies.filter_map(|tally| tally.wait(now)).max() {
            Some(retry_after) => Err(TooMany { retry_after }),
            None => Ok(()),
        }
    }

    /// Records how a try ended, and says whether its end may be told.
    ///
    /// Many tries at the same moment all pass [`Throttle::check`]; here no more than the allowed number of them get an answer.
    /// What is right makes an account start anew, but no network address: one account of their own would do for guessers.
    ///
    /// # Errors
    /// As of [`Throttle::check`].
    pub fn settle(&mut self, keys: &[Key<'_>], right: bool, now: Instant) -> Result<(), TooMany> {
        self.check(keys, now)?;
        for key in keys {
            let hash = self.hasher.hash_one(key);
            match (right, key) {
                (true, Key::Account(_)) => drop(self.tallies.remove(&hash)),
                (true, Key::Address(_)) => {}
                (false, _) => {
                    self.make_room(hash, now);
                    let none = Tally {
                        failures: 0.0,
                        counted: now,
                        waits: 0,
                        waits_until: None,
                        over: now,
                    };
                    self.tallies.entry(hash).or_insert(none).fail(*key, now);
                }
            }
        }
        Ok(())
    }

    fn make_room(&mut self, hash: u64, now: Instant) {
        if self.tallies.len() < MAX_REMEMBERED || self.tallies.contains_key(&hash) {
            return;
        }
        self.tallies.retain(|_, tally| tally.over > now);
        if self.tallies.len() >= MAX_REMEMBERED {
            let oldest = self
                .tallies
                .iter()
                .min_by_key(|(_, tally)| tally.over)
                .map(|(hash, _)| *hash);
            oldest.map(|hash| self.tallies.remove(&hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &[Key<'static>] = &[Key::Account("ada")];
    const BOB: &[Key<'static>] = &[Key::Account("bob")];
    const SECOND: Duration = Duration::from_secs(1);

    fn guess(throttle: &mut Throttle, keys: &[Key<'_>], times: u32, now: Instant) {
        for _ in 0..times {
            throttle.settle(keys, false, now).expect("not yet too many");
        }
    }

    fn wait(throttle: &Throttle, keys: &[Key<'_>], now: Instant) -> Option<Duration> {
        throttle.check(keys, now).err().map(|many| many.retry_after)
    }

    #[test]
    fn waits_grow_with_every_further_failure_and_have_an_end() {
        let (mut throttle, mut now) = (Throttle::default(), Instant::now());
        guess(&mut throttle, ADA, MAX_FAILURES, now);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let longest = wait(&throttle, ADA, now).expect("too many");
            waits.push(longest.as_secs());
            assert_eq!(wait(&throttle, BOB, now), None, "others are not held up");
            now += longest;
            // As many as have been forgotten meanwhile, and one more.
            while wait(&throttle, ADA, now).is_none() {
                guess(&mut throttle, ADA, 1, now);
            }
        }
        assert_eq!(waits, [60, 120, 240, 480, 900, 900]);
        now += FORGET_AFTER * (MAX_FAILURES + 1);
        guess(&mut throttle, ADA, MAX_FAILURES, now);
        assert_eq!(wait(&throttle, ADA, now), Some(FIRST_WAIT), "anew");
    }

    #[test]
    fn a_right_password_starts_anew() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        guess(&mut throttle, ADA, MAX_FAILURES - 1, now);
        throttle.settle(ADA, true, now).expect("in time");
        guess(&mut throttle, ADA, MAX_FAILURES, now);
    }

    #[test]
    fn an_address_that_tries_many_accounts_has_to_wait() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let address = |text: &str| Key::of_address(text.parse().expect("an address"));
        let (theirs, neighbour) = (address("2001:db8::1"), address("2001:db8:0:1::1"));
        for account in 0..MAX_FAILURES_OF_ADDRESS {
            let name = account.to_string();
            let keys = [Key::Account(&name), address("2001:db8::ffff")];
            throttle
                .settle(&keys, false, now)
                .expect("not yet too many");
            // Their own account is no way around it.
            throttle.settle(&[BOB[0], theirs], true, now).ok();
        }
        assert_eq!(wait(&throttle, &[BOB[0], theirs], now), Some(FIRST_WAIT));
        assert_eq!(wait(&throttle, &[BOB[0], neighbour], now), None);
        assert_eq!(address("::ffff:10.1.2.3"), address("10.1.2.3"));
        let later = now + FIRST_WAIT + SECOND;
        assert_eq!(wait(&throttle, &[BOB[0], theirs], later), None);
    }

    #[test]
    fn guesses_at_the_same_moment_get_no_more_answers() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let passed = (0..100)
            .filter(|_| throttle.check(ADA, now).is_ok())
            .count();
        assert_eq!(passed, 100);
        guess(&mut throttle, ADA, MAX_FAILURES, now);
        assert!(
            throttle.settle(ADA, true, now).is_err(),
            "not even the right one"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for account in 0..MAX_REMEMBERED + 10 {
            let name = account.to_string();
            let first = throttle.settle(&[Key::Account(&name)], false, now);
            first.expect("the first one");
        }
        assert_eq!(throttle.tallies.len(), MAX_REMEMBERED);
    }
}

//! Slows down whoever guesses passwords: of one account, or from one network address. Nobody is locked out for good.

use std::net::{IpAddr, Ipv6Addr};

use time::{Duration, OffsetDateTime};

/// Wrong passwords that one account may have before it has to wait.
pub const MAX_FAILURES: u32 = 10;
/// Failures that one network address may have before it has to wait: there may be many people behind it.
pub const MAX_FAILURES_OF_ADDRESS: u32 = 50;
/// First wait; it doubles with each failure after that.
pub const FIRST_WAIT: Duration = Duration::minutes(1);
/// Longest wait.
pub const LONGEST_WAIT: Duration = Duration::minutes(15);

/// Time after which one failure of an account is forgotten.
const FORGET_AFTER: Duration = Duration::minutes(5);
/// Time after which one failure of a network address is forgotten.
const FORGET_ADDRESS_AFTER: Duration = Duration::seconds(20);
/// Bits of an IPv6 address that somebody's network has; the others are theirs to choose.
const IPV6_NETWORK: u128 = u128::MAX << 64;

/// Too many failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Time until the next try.
    pub retry_after: std::time::Duration,
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

/// The failures of late of one account or network address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// When all of them are forgotten: each one puts it off.
    pub forgotten: OffsetDateTime,
    /// Waits since there were no failures.
    pub waits: u32,
    /// End of the last wait.
    pub waits_until: Option<OffsetDateTime>,
}

impl Tally {
    /// One failure at this time.
    fn first(key: Key<'_>, now: OffsetDateTime) -> Self {
        let mut tally = Self {
            forgotten: now,
            waits: 0,
            waits_until: None,
        };
        tally.fail(key, now);
        tally
    }

    /// When nothing of it is left.
    pub fn ends(&self) -> OffsetDateTime {
        self.waits_until
            .map_or(self.forgotten, |until| until.max(self.forgotten))
    }

    fn wait(&self, now: OffsetDateTime) -> Option<Duration> {
        self.waits_until
            .map(|until| until - now)
            .filter(|wait| wait.is_positive())
    }

    fn fail(&mut self, key: Key<'_>, now: OffsetDateTime) {
        if self.forgotten <= now {
            (self.forgotten, self.waits) = (now, 0);
        }
        self.forgotten += key.forget_after();
        // Forgetting goes on all the time: the tenth failure of a while counts as the tenth.
        if self.forgotten - now > key.forget_after() * (key.max_failures() - 1) {
            let wait = FIRST_WAIT * 2_i32.saturating_pow(self.waits.min(16));
            self.waits = self.waits.saturating_add(1);
            self.waits_until = Some(now + wait.min(LONGEST_WAIT));
        }
    }
}

/// Somebody who tries, with what is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// Who.
    pub key: Key<'a>,
    /// Their failures; `None` where there were none of late.
    pub tally: Option<Tally>,
}

/// Whether these may try.
///
/// # Errors
/// One of them failed too often; the longest wait.
pub fn check(counted: &[Counted<'_>], now: OffsetDateTime) -> Result<(), TooMany> {
    let tallies = counted.iter().filter_map(|counted| counted.tally);
    match tallies.filter_map(|tally| tally.wait(now)).max() {
        Some(wait) => Err(TooMany {
            retry_after: wait.unsigned_abs(),
        }),
        None => Ok(()),
    }
}

/// Counts how a try ended, and says whether its end may be told.
///
/// Many tries at the same moment all pass [`check`]; here no more than the allowed number of them get an answer.
/// What is right makes an account start anew, but no network address: one account of their own would do for guessers.
///
/// # Errors
/// As of [`check`].
pub fn settle(
    counted: &mut [Counted<'_>],
    right: bool,
    now: OffsetDateTime,
) -> Result<(), TooMany> {
    check(counted, now)?;
    for Counted { key, tally } in counted {
        match (right, &key, tally.as_mut()) {
            (true, Key::Account(_), _) => *tally = None,
            (true, Key::Address(_), _) => {}
            (false, _, Some(known)) => known.fail(*key, now),
            (false, _, None) => *tally = Some(Tally::first(*key, now)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const ADA: Key<'static> = Key::Account("ada");
    const BOB: Key<'static> = Key::Account("bob");

    fn nobody(keys: &[Key<'static>]) -> Vec<Counted<'static>> {
        let counted = keys.iter().map(|key| Counted {
            key: *key,
            tally: None,
        });
        counted.collect()
    }

    fn guess(counted: &mut [Counted<'_>], times: u32, now: OffsetDateTime) {
        for _ in 0..times {
            settle(counted, false, now).expect("not yet too many");
        }
    }

    fn wait(counted: &[Counted<'_>], now: OffsetDateTime) -> Option<Duration> {
        let waits = check(counted, now).err()?.retry_after;
        waits.try_into().ok()
    }

    #[test]
    fn waits_grow_with_every_further_failure_and_have_an_end() {
        let (mut ada, mut now) = (nobody(&[ADA]), START);
        guess(&mut ada, MAX_FAILURES, now);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let longest = wait(&ada, now).expect("too many");
            waits.push(longest.whole_seconds());
            now += longest;
            // As many as have been forgotten meanwhile, and one more.
            while wait(&ada, now).is_none() {
                guess(&mut ada, 1, now);
            }
        }
        assert_eq!(waits, [60, 120, 240, 480, 900, 900]);
        now += FORGET_AFTER * (MAX_FAILURES + 1);
        let ends = ada[0].tally.map(|tally| tally.ends());
        assert!(ends.is_some_and(|ends| ends <= now), "nothing is left");
        guess(&mut ada, MAX_FAILURES, now);
        assert_eq!(wait(&ada, now), Some(FIRST_WAIT), "anew");
    }

    #[test]
    fn a_right_password_starts_anew() {
        let mut ada = nobody(&[ADA]);
        guess(&mut ada, MAX_FAILURES - 1, START);
        settle(&mut ada, true, START).expect("in time");
        assert_eq!(ada, nobody(&[ADA]));
    }

    #[test]
    fn an_address_that_tries_many_accounts_has_to_wait() {
        let address = |text: &str| Key::of_address(text.parse().expect("an address"));
        let mut theirs = nobody(&[address("2001:db8::1")]);
        for _ in 0..MAX_FAILURES_OF_ADDRESS {
            guess(&mut theirs, 1, START);
            // Their own account is no way around it.
            let mut own = [nobody(&[BOB])[0], theirs[0]];
            settle(&mut own, true, START).ok();
            assert_eq!(own[1], theirs[0]);
        }
        assert_eq!(wait(&theirs, START), Some(FIRST_WAIT));
        let both = [nobody(&[BOB])[0], theirs[0]];
        assert_eq!(wait(&both, START), Some(FIRST_WAIT));
        assert_eq!(wait(&both, START + FIRST_WAIT), None);
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.1.2.3"), address("10.1.2.3"));
    }

    #[test]
    fn guesses_at_the_same_moment_get_no_more_answers() {
        let mut ada = nobody(&[ADA]);
        guess(&mut ada, MAX_FAILURES, START);
        let late = settle(&mut ada, true, START);
        assert!(late.is_err(), "not even the right one");
    }
}

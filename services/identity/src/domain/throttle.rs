//! Slows down whoever guesses passwords of one address. Nobody is locked out for good.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

/// Wrong passwords that one address may have within [`FAILURE_WINDOW`].
pub const MAX_FAILURES: u32 = 10;
/// Time from the first wrong password until its address starts anew.
pub const FAILURE_WINDOW: Duration = Duration::from_secs(300);
/// Addresses that are remembered; beyond that the oldest one is forgotten.
pub const MAX_ADDRESSES: usize = 65_536;

/// An address had too many wrong passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Time until it may try again.
    pub retry_after: Duration,
}

/// The wrong passwords of the last minutes, by address, known or not.
#[derive(Debug, Default)]
pub struct Throttle {
    /// Keeps strangers from choosing addresses that fall together with somebody else's.
    hasher: RandomState,
    windows: HashMap<u64, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    started: Instant,
    failures: u32,
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.started) >= FAILURE_WINDOW
    }
}

impl Throttle {
    /// Whether the address may try a password.
    ///
    /// # Errors
    /// It had [`MAX_FAILURES`] wrong ones.
    pub fn check(&self, address: &str, now: Instant) -> Result<(), TooMany> {
        match self.windows.get(&self.hasher.hash_one(address)) {
            Some(window) if window.failures >= MAX_FAILURES && !window.is_over(now) => {
                Err(TooMany {
                    retry_after: FAILURE_WINDOW - now.duration_since(window.started),
                })
            }
            _ => Ok(()),
        }
    }

    /// Records how a try ended, and says whether its end may be told.
    ///
    /// Many tries at the same moment all pass [`Throttle::check`]; here no more than [`MAX_FAILURES`] of them get an answer.
    ///
    /// # Errors
    /// As of [`Throttle::check`].
    pub fn settle(&mut self, address: &str, right: bool, now: Instant) -> Result<(), TooMany> {
        self.check(address, now)?;
        let key = self.hasher.hash_one(address);
        if right {
            self.windows.remove(&key);
            return Ok(());
        }
        if !self.windows.contains_key(&key) {
            self.make_room(now);
        }
        let window = self.windows.entry(key).or_insert(Window {
            started: now,
            failures: 0,
        });
        if window.is_over(now) {
            *window = Window {
                started: now,
                failures: 0,
            };
        }
        window.failures += 1;
        Ok(())
    }

    fn make_room(&mut self, now: Instant) {
        if self.windows.len() < MAX_ADDRESSES {
            return;
        }
        self.windows.retain(|_, window| !window.is_over(now));
        if self.windows.len() >= MAX_ADDRESSES {
            let oldest = self
                .windows
                .iter()
                .min_by_key(|(_, window)| window.started)
                .map(|(key, _)| *key);
            oldest.map(|key| self.windows.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(throttle: &mut Throttle, times: u32, now: Instant) {
        for _ in 0..times {
            throttle
                .settle("ada", false, now)
                .expect("not yet too many");
        }
    }

    #[test]
    fn too_many_wrong_passwords_have_to_wait_and_then_start_anew() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        guess(&mut throttle, MAX_FAILURES, now);
        assert_eq!(
            throttle.check("ada", now),
            Err(TooMany {
                retry_after: FAILURE_WINDOW
            })
        );
        assert_eq!(throttle.check("bob", now), Ok(()), "others are not held up");
        let later = now + FAILURE_WINDOW;
        assert_eq!(throttle.check("ada", later), Ok(()));
        guess(&mut throttle, MAX_FAILURES, later);
        assert!(throttle.check("ada", later).is_err());
    }

    #[test]
    fn a_right_password_starts_anew() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        guess(&mut throttle, MAX_FAILURES - 1, now);
        throttle.settle("ada", true, now).expect("in time");
        guess(&mut throttle, MAX_FAILURES, now);
    }

    #[test]
    fn guesses_at_the_same_moment_get_no_more_answers() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        let passed = (0..100)
            .filter(|_| throttle.check("ada", now).is_ok())
            .count();
        assert_eq!(passed, 100);
        guess(&mut throttle, MAX_FAILURES, now);
        assert!(
            throttle.settle("ada", true, now).is_err(),
            "not even the right one"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let (mut throttle, now) = (Throttle::default(), Instant::now());
        for address in 0..MAX_ADDRESSES + 10 {
            throttle
                .settle(&address.to_string(), false, now)
                .expect("the first one");
        }
        assert_eq!(throttle.windows.len(), MAX_ADDRESSES);
    }
}

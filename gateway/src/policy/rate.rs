//! How often a caller may call: the generic cell rate algorithm (GCRA), which keeps one number a caller and route.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    mem,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Parts of the memory, each with a lock of its own.
const SHARDS: usize = 64;
/// Most callers and routes that are remembered, in two generations of half as many.
const MAX_KEYS: usize = 128 * 1024;
const MAX_KEYS_OF_GENERATION: usize = MAX_KEYS / SHARDS / 2;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Calls in a time, and calls at once: `100/s burst 200`, `30/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time that each call takes out of the allowance, in nanoseconds.
    interval_ns: u64,
    /// Most calls at once.
    burst: u64,
}

impl Rate {
    /// `calls` in each `period`, at most `burst` of them at once.
    pub const fn new(calls: u64, period: Duration, burst: u64) -> Self {
        let interval_ns = period.as_secs() * NANOS_PER_SECOND / calls;
        Self {
            // Beyond a call a nanosecond there is nothing to limit.
            interval_ns: if interval_ns == 0 { 1 } else { interval_ns },
            burst,
        }
    }

    /// Time in which the whole allowance comes back, in nanoseconds.
    const fn window_ns(self) -> u64 {
        self.interval_ns.saturating_mul(self.burst)
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is no rate like `100/s burst 200` or `30/min`");
        let mut words = text.split_whitespace();
        let (calls, unit) = words
            .next()
            .and_then(|rate| rate.split_once('/'))
            .ok_or_else(fault)?;
        let calls: u32 = calls.parse().map_err(|_| fault())?;
        let period = match unit {
            "s" => 1,
            "min" => 60,
            "h" => 3_600,
            _ => return Err(fault()),
        };
        let burst: u32 = match (words.next(), words.next(), words.next()) {
            (None, None, None) => calls,
            (Some("burst"), Some(burst), None) => burst.parse().map_err(|_| fault())?,
            _ => return Err(fault()),
        };
        if calls == 0 || burst == 0 {
            return Err(format!("`{text}`: nobody could call"));
        }
        Ok(Self::new(
            calls.into(),
            Duration::from_secs(period),
            burst.into(),
        ))
    }
}

/// The rate of a route.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    rate: Rate,
    /// Tells routes apart; the same for a route whenever a contract is read again.
    route: u64,
    /// The class; `route` where the operator gave a rate of its own.
    pub(crate) class: &'static str,
    /// `"read"`
    name: Box<str>,
    /// The RateLimit-Policy header.
    policy: HeaderValue,
}

impl Quota {
    /// `class` is a word; `route` tells apart what is counted apart.
    pub(crate) fn new(class: &'static str, rate: Rate, route: u64) -> Self {
        let window_s = rate.window_ns().div_ceil(NANOS_PER_SECOND).max(1);
        let policy = format!("\"{class}\";q={};w={window_s}", rate.burst);
        Self {
            rate,
            route,
            class,
            name: format!("\"{class}\"").into(),
            // Digits and a word.
            policy: HeaderValue::from_str(&policy)
                .unwrap_or_else(|_| HeaderValue::from_static("\"custom\"")),
        }
    }
}

/// What a caller has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) is_allowed: bool,
    /// Calls that may be made at once.
    calls: u64,
    /// Time until everything is allowed again.
    reset_s: u64,
    /// Time until one more call is allowed.
    pub(crate) retry_after_s: u64,
}

impl Left {
    /// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers).
    pub(crate) fn write(&self, quota: &Quota, headers: &mut HeaderMap) {
        let mut text = Vec::with_capacity(48);
        text.extend_from_slice(quota.name.as_bytes());
        text.extend_from_slice(b";r=");
        let mut digits = itoa::Buffer::new();
        text.extend_from_slice(digits.format(self.calls).as_bytes());
        text.extend_from_slice(b";t=");
        text.extend_from_slice(digits.format(self.reset_s).as_bytes());
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
            headers.insert(LIMIT, value);
        }
        headers.insert(POLICY, quota.policy.clone());
        if !self.is_allowed {
            headers.insert(header::RETRY_AFTER, self.retry_after_s.into());
        }
    }
}

/// Remembers when each caller's allowance is whole again. Bounded: under more callers than it holds, those who
/// have not called for longest start anew.
#[derive(Debug)]
pub(crate) struct Limiter {
    shards: Box<[Mutex<Shard>]>,
    /// Keyed by chance, so that nobody chooses who shares a key.
    hasher: RandomState,
    start: Instant,
}

/// Keys are hashes already.
type Generation = HashMap<u64, u64, Passed>;

#[derive(Debug, Default)]
struct Shard {
    young: Generation,
    old: Generation,
}

#[derive(Clone, Copy, Debug, Default)]
struct Passed(u64);

impl std::hash::Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl std::hash::BuildHasher for Passed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            start: Instant::now(),
        }
    }
}

impl Limiter {
    /// Counts a call of `caller`.
    pub(crate) fn take(&self, quota: &Quota, caller: impl Hash) -> Left {
        let now_ns = self.start.elapsed().as_nanos() as u64;
        self.take_at(quota, caller, now_ns)
    }

    fn take_at(&self, quota: &Quota, caller: impl Hash, now_ns: u64) -> Left {
        let key = self.hasher.hash_one((quota.route, caller));
        // The table uses the low bits itself.
        let shard = &self.shards[(key >> 32) as usize % SHARDS];
        let (rate, window_ns) = (quota.rate, quota.rate.window_ns());
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let whole_at = shard.get(key).max(now_ns);
        let next = whole_at + rate.interval_ns;
        let is_allowed = next - now_ns <= window_ns;
        if is_allowed {
            shard.set(key, next);
        }
        drop(shard);
        let used_ns = if is_allowed { next } else { whole_at } - now_ns;
        let wait_ns = (next - now_ns).saturating_sub(window_ns);
        Left {
            is_allowed,
            calls: window_ns.saturating_sub(used_ns) / rate.interval_ns,
            reset_s: used_ns.div_ceil(NANOS_PER_SECOND),
            retry_after_s: wait_ns.div_ceil(NANOS_PER_SECOND).max(1),
        }
    }
}

impl Shard {
    fn get(&mut self, key: u64) -> u64 {
        match self.young.get(&key) {
            Some(whole_at) => *whole_at,
            // Comes back among the young when it is set.
            None => self.old.get(&key).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, key: u64, whole_at: u64) {
        if self.young.len() >= MAX_KEYS_OF_GENERATION && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, whole_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = NANOS_PER_SECOND;

    fn quota(text: &str) -> Quota {
        Quota::new("read", text.parse().expect("a rate"), 7)
    }

    #[test]
    fn rates_are_read() {
        let rate = |text: &str| text.parse::<Rate>();
        assert_eq!(
            rate("100/s burst 200"),
            Ok(Rate {
                interval_ns: SECOND / 100,
                burst: 200
            })
        );
        assert_eq!(
            rate("30/min"),
            Ok(Rate {
                interval_ns: 2 * SECOND,
                burst: 30
            })
        );
        assert_eq!(
            rate("1/h burst 2"),
            Ok(Rate {
                interval_ns: 3_600 * SECOND,
                burst: 2
            })
        );
        for text in [
            "",
            "5",
            "5/day",
            "0/s",
            "5/s burst 0",
            "5/s burst",
            "5/s 7",
            "-1/s",
            "5/s burst 6 7",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (limiter, quota) = (Limiter::default(), quota("2/s burst 3"));
        for left in [2, 1, 0] {
            let found = limiter.take_at(&quota, "ada", SECOND);
            assert!(found.is_allowed && found.calls == left, "{found:?}");
        }
        let refused = limiter.take_at(&quota, "ada", SECOND);
        assert_eq!(
            refused,
            Left {
                is_allowed: false,
                calls: 0,
                reset_s: 2,
                retry_after_s: 1
            }
        );
        assert!(limiter.take_at(&quota, "bob", SECOND).is_allowed);
        // Refused calls cost nothing: half a second later one more is allowed.
        assert!(
            limiter
                .take_at(&quota, "ada", SECOND + SECOND / 2)
                .is_allowed
        );
        assert!(
            !limiter
                .take_at(&quota, "ada", SECOND + SECOND / 2)
                .is_allowed
        );
        assert_eq!(limiter.take_at(&quota, "ada", 60 * SECOND).calls, 2);
    }

    #[test]
    fn routes_are_counted_apart() {
        let limiter = Limiter::default();
        let rate = "1/s".parse().expect("a rate");
        for route in 0..5 {
            let quota = Quota::new("read", rate, route);
            assert!(limiter.take_at(&quota, "ada", SECOND).is_allowed);
            assert!(!limiter.take_at(&quota, "ada", SECOND).is_allowed);
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let (limiter, quota) = (Limiter::default(), quota("1/h"));
        for caller in 0..MAX_KEYS * 2 {
            limiter.take_at(&quota, caller, SECOND);
        }
        let kept: usize = limiter
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().expect("no panic");
                shard.young.len() + shard.old.len()
            })
            .sum();
        assert!(kept <= MAX_KEYS, "{kept}");
        assert!(!limiter.take_at(&quota, MAX_KEYS * 2 - 1, SECOND).is_allowed);
    }

    #[test]
    fn clients_are_told_what_is_left() {
        let (limiter, quota) = (Limiter::default(), quota("1/s burst 2"));
        let mut headers = HeaderMap::new();
        limiter
            .take_at(&quota, 1, SECOND)
            .write(&quota, &mut headers);
        assert_eq!(headers["ratelimit"], "\"read\";r=1;t=1");
        assert_eq!(headers["ratelimit-policy"], "\"read\";q=2;w=2");
        assert!(!headers.contains_key("retry-after"));
        limiter.take_at(&quota, 1, SECOND);
        limiter
            .take_at(&quota, 1, SECOND)
            .write(&quota, &mut headers);
        assert_eq!(headers["ratelimit"], "\"read\";r=0;t=2");
        assert_eq!(headers["retry-after"], "1");
    }
}

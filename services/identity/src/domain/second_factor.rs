//! What a person has beside the password: the secret of an authenticator app, and how its codes are tried.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Wrong codes in a row before the next one has to wait. Each of them needs the right password first.
pub const MAX_WRONG_CODES: u32 = 5;
/// First wait; it doubles with each wrong code after that.
pub const FIRST_WAIT: Duration = Duration::seconds(30);
/// Longest wait.
pub const LONGEST_WAIT: Duration = Duration::minutes(15);
/// Wrong codes that one challenge bears.
pub const MAX_TRIES_OF_CHALLENGE: u32 = 5;
/// Time from the password to the code.
pub const CHALLENGE_LIFETIME: Duration = Duration::minutes(5);

/// An account's second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// Whose it is.
    pub account: Uuid,
    /// The app's secret, sealed.
    pub secret: Vec<u8>,
    /// Since when logins need a code; `None` until the person has shown that the app has the secret.
    pub enabled: Option<OffsetDateTime>,
    /// Time step of the newest code that was taken: neither it nor an older one is taken again.
    pub last_step: i64,
    /// Wrong codes since the last right one.
    pub wrong_codes: u32,
    /// When the next code may be tried.
    pub waits_until: Option<OffsetDateTime>,
    /// Counts the changes from 1; a change raises it, and its save wants the row to be one behind.
    pub version: i64,
}

impl SecondFactor {
    /// A secret that the person has still to confirm.
    pub fn enrol(account: Uuid, secret: Vec<u8>) -> Self {
        Self {
            account,
            secret,
            enabled: None,
            last_step: 0,
            wrong_codes: 0,
            waits_until: None,
            version: 1,
        }
    }

    /// Time until a code may be tried; `None` where it may now.
    pub fn wait(&self, now: OffsetDateTime) -> Option<Duration> {
        self.waits_until
            .map(|until| until - now)
            .filter(|wait| wait.is_positive())
    }

    /// The code of this time step was right.
    pub fn take_code(&mut self, step: i64) {
        self.last_step = step;
        self.take_recovery_code();
    }

    /// A recovery code was right.
    pub fn take_recovery_code(&mut self) {
        (self.wrong_codes, self.waits_until) = (0, None);
        self.version += 1;
    }

    /// The person has shown that the app has the secret: logins need a code from now on.
    pub fn enable(&mut self, now: OffsetDateTime) {
        self.enabled = Some(now);
        self.version += 1;
    }

    /// A code was wrong.
    pub fn refuse(&mut self, now: OffsetDateTime) {
        self.wrong_codes = self.wrong_codes.saturating_add(1);
        if let Some(beyond) = self.wrong_codes.checked_sub(MAX_WRONG_CODES) {
            let wait = FIRST_WAIT * 2_i32.saturating_pow(beyond.min(16));
            self.waits_until = Some(now + wait.min(LONGEST_WAIT));
        }
        self.version += 1;
    }
}

/// A login whose password was right, and which waits for the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// UUIDv7.
    pub id: Uuid,
    /// Who logs in.
    pub account: Uuid,
    /// What the client calls itself.
    pub client: String,
    /// Wrong codes so far.
    pub tries: u32,
    /// When it is over.
    pub ends: OffsetDateTime,
}

impl Challenge {
    /// A login of this account.
    pub fn begin(id: Uuid, account: Uuid, client: String, now: OffsetDateTime) -> Self {
        Self {
            id,
            account,
            client,
            tries: 0,
            ends: now + CHALLENGE_LIFETIME,
        }
    }

    /// Whether it can still be met.
    pub fn is_open(&self, now: OffsetDateTime) -> bool {
        now < self.ends && self.tries < MAX_TRIES_OF_CHALLENGE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn wrong_codes_have_to_wait_longer_and_longer() {
        let mut factor = SecondFactor::enrol(Uuid::nil(), Vec::new());
        let waits: Vec<_> = (0..12)
            .map(|_| {
                factor.refuse(START);
                factor.wait(START).map_or(0, Duration::whole_seconds)
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(factor.wait(START + LONGEST_WAIT), None);
        factor.take_code(7);
        assert_eq!((factor.wait(START), factor.last_step), (None, 7));
        factor.refuse(START);
        assert_eq!(factor.wait(START), None);
    }

    #[test]
    fn a_challenge_ends() {
        let mut challenge = Challenge::begin(Uuid::nil(), Uuid::nil(), String::new(), START);
        assert!(challenge.is_open(START));
        assert!(!challenge.is_open(START + CHALLENGE_LIFETIME));
        challenge.tries = MAX_TRIES_OF_CHALLENGE;
        assert!(!challenge.is_open(START));
    }
}

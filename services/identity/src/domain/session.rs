//! A login: it goes on from one refresh token to the next, until somebody ends it or nobody uses it.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// Longest time without a refresh.
pub const MAX_IDLE: Duration = Duration::days(14);
/// Longest time in all; then the person logs in again.
pub const MAX_AGE: Duration = Duration::days(90);
/// Time in which the refresh token before the newest one gets the same answer again: its client may have lost it, or may
/// have asked twice at once.
pub const REPEAT_WITHIN: Duration = Duration::seconds(10);

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// UUIDv7.
    pub id: Uuid,
    /// Who logged in.
    pub account: Uuid,
    /// What the client calls itself.
    pub client: String,
    /// What this session's refresh tokens are made with; nobody else has it.
    pub secret: Vec<u8>,
    /// Number of the refresh token that is good now, from 1.
    pub generation: u32,
    /// When it began.
    pub created: OffsetDateTime,
    /// When that token was made.
    pub refreshed: OffsetDateTime,
}

/// What a refresh token of this session means when somebody shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is the one that is good now.
    Newest,
    /// It was used a moment ago: its successor is told once more.
    Repeated,
    /// It was used before: two have it, and one of them is a thief.
    Stolen,
    /// The session is over.
    Over,
}

impl Session {
    /// A new login.
    pub fn begin(
        id: Uuid,
        account: Uuid,
        client: String,
        secret: Vec<u8>,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            account,
            client,
            secret,
            generation: 1,
            created: now,
            refreshed: now,
        }
    }

    /// When it ends unless it is refreshed.
    pub fn ends(&self) -> OffsetDateTime {
        (self.refreshed + MAX_IDLE).min(self.created + MAX_AGE)
    }

    /// What it means that somebody shows the refresh token of this generation.
    pub fn show(&self, generation: u32, now: OffsetDateTime) -> Shown {
        if now >= self.ends() {
            Shown::Over
        } else if generation == self.generation {
            Shown::Newest
        } else if generation + 1 == self.generation && now < self.refreshed + REPEAT_WITHIN {
            Shown::Repeated
        } else {
            Shown::Stolen
        }
    }

    /// The next refresh token is the good one.
    pub fn refresh(&mut self, now: OffsetDateTime) {
        self.generation += 1;
        self.refreshed = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn session() -> Session {
        Session::begin(Uuid::nil(), Uuid::nil(), "test".into(), vec![1], START)
    }

    #[test]
    fn each_token_is_good_once_and_repeated_for_a_moment() {
        let mut session = session();
        assert_eq!(session.show(1, START), Shown::Newest);
        session.refresh(START);
        assert_eq!(session.show(2, START), Shown::Newest);
        assert_eq!(session.show(1, START), Shown::Repeated);
        assert_eq!(session.show(1, START + REPEAT_WITHIN), Shown::Stolen);
        session.refresh(START);
        assert_eq!(session.show(1, START), Shown::Stolen, "not two back");
    }

    #[test]
    fn who_stays_away_logs_in_again_and_so_does_everybody_some_day() {
        let mut session = session();
        let last = START + MAX_IDLE - Duration::SECOND;
        assert_eq!(session.show(1, last), Shown::Newest);
        assert_eq!(session.show(1, START + MAX_IDLE), Shown::Over);
        let mut now = START;
        while session.show(session.generation, now) == Shown::Newest {
            session.refresh(now);
            now += Duration::days(7);
        }
        assert!(now >= START + MAX_AGE && now < START + MAX_AGE + Duration::days(7));
    }
}

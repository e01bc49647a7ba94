//! Access tokens that are to count no more although they have not ended.

use time::OffsetDateTime;
use uuid::Uuid;

/// When tokens are revoked, and when the last one that was made until then has ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Now.
    pub now: OffsetDateTime,
    /// The later of the two; nothing has to be remembered after it.
    pub ends: OffsetDateTime,
}

/// What is remembered until the tokens have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Of a token, or of the session, account or client whose tokens they are.
    pub id: Uuid,
    /// Those made until then; all where it is `None`.
    pub made_until: Option<OffsetDateTime>,
    /// When the last of them has ended.
    pub ends: OffsetDateTime,
    /// When they were revoked.
    pub revoked: OffsetDateTime,
}

impl Revocation {
    /// For good: of one token, or of a session that has ended.
    pub fn for_good(id: Uuid, moment: Moment) -> Self {
        Self {
            id,
            made_until: None,
            ends: moment.ends,
            revoked: moment.now,
        }
    }

    /// Of an account or a client that goes on, or may do so later: what it gets from now on counts.
    pub fn until_now(id: Uuid, moment: Moment) -> Self {
        Self {
            made_until: Some(moment.now),
            ..Self::for_good(id, moment)
        }
    }

    /// Whether it ends a token that was made at this time.
    pub fn ends_one_made(&self, made: OffsetDateTime) -> bool {
        self.made_until.is_none_or(|until| made <= until)
    }
}

//! Refresh tokens: opaque texts that say which session they are of and which in its row, sealed with the session's secret.
//!
//! The next one follows from the secret and its number. So nothing has to be stored for one that is handed out, and a client
//! that lost the answer gets the very same token again.

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::domain::session::Session;

/// How every refresh token begins, so that people and scanners see what they have found.
const PREFIX: &str = "crt_";
/// Bytes of a session's secret.
const SECRET_BYTES: usize = 32;
/// Bytes of the session's id.
const ID_BYTES: usize = 16;
/// Bytes of the id and the number.
const HEAD_BYTES: usize = ID_BYTES + 4;

/// Random bytes of the system, for secrets and tokens.
///
/// # Errors
/// The system has none.
pub fn random() -> Result<[u8; SECRET_BYTES], aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; SECRET_BYTES];
    rand::fill(&mut bytes)?;
    Ok(bytes)
}

/// A refresh token that somebody shows, as far as it can be read without its session.
pub struct RefreshToken {
    bytes: Vec<u8>,
    /// The session that it says it is of.
    pub session: Uuid,
    /// The generation that it says it is.
    pub generation: u32,
}

impl RefreshToken {
    /// `None` where the text is no refresh token at all.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (head, _) = bytes.split_at_checked(HEAD_BYTES)?;
        let (id, generation) = head.split_at(ID_BYTES);
        Some(Self {
            session: Uuid::from_slice(id).ok()?,
            generation: u32::from_be_bytes(generation.try_into().ok()?),
            bytes,
        })
    }

    /// Whether the session made it.
    pub fn is_of(&self, session: &Session) -> bool {
        let (head, seal) = self.bytes.split_at(HEAD_BYTES);
        self.session == session.id && hmac::verify(&key(session), head, seal).is_ok()
    }
}

/// The refresh token of a session that is good now.
pub fn newest(session: &Session) -> String {
    let mut bytes = session.id.as_bytes().to_vec();
    bytes.extend(session.generation.to_be_bytes());
    let seal = hmac::sign(&key(session), &bytes);
    bytes.extend(seal.as_ref());
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn key(session: &Session) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &session.secret)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn session() -> Session {
        let secret = random().expect("randomness").to_vec();
        let (id, now) = (Uuid::now_v7(), OffsetDateTime::UNIX_EPOCH);
        Session::begin(id, Uuid::nil(), String::new(), secret, now)
    }

    #[test]
    fn a_token_is_of_its_session_and_the_same_whenever_it_is_made() {
        let mut session = session();
        let text = newest(&session);
        assert_eq!(text, newest(&session));
        let token = RefreshToken::read(&text).expect("a token");
        assert!(token.is_of(&session) && token.generation == 1);
        session.refresh(OffsetDateTime::UNIX_EPOCH);
        assert_ne!(text, newest(&session));
        assert!(token.is_of(&session), "also when it is no longer good");
    }

    #[test]
    fn nobody_makes_one_without_the_secret() {
        let (ours, theirs) = (session(), session());
        let forged = Session {
            secret: theirs.secret,
            ..ours.clone()
        };
        let forged = RefreshToken::read(&newest(&forged)).expect("well formed");
        assert!(!forged.is_of(&ours));

        let text = newest(&ours);
        for place in PREFIX.len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            let token = RefreshToken::read(&changed);
            assert!(token.is_none_or(|token| !token.is_of(&ours)), "{place}");
        }
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in [
            "",
            "crt_",
            "crt_AAAA",
            "eyJhbGciOiJub25lIn0.e30.",
            "crt_%%%",
        ] {
            assert!(RefreshToken::read(text).is_none(), "{text}");
        }
    }
}

//! Passwords to hashes (argon2id), a bounded number at a time: each one costs memory and a processor.

use std::sync::{Arc, LazyLock};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::{self, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19_456;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes of one hash.
const LANES: u32 = 1;
/// Most passwords that wait for their turn; further ones are refused as overload.
pub const MAX_WAITING_HASHES: usize = 256;

/// What an unknown address is checked against, so that it takes as long as a known one: the hash of nothing that anybody knows.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$F59fcJkyxw3/x/HCKv5wBw$WLY3+3DWhSNmS0wVay0FFh9doe0Z/al3T67u/xk8Dz0";

static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .expect("these parameters are within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// Why a password could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many wait already.
    #[error("Too many logins at the moment; try again.")]
    Overloaded,
    /// A stored hash is not readable, or the system gave no random salt.
    #[error("password hashing failed")]
    Broken(#[source] password_hash::Error),
}

/// Hashes and checks passwords. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Passwords {
    /// Running and waiting.
    places: Arc<Semaphore>,
    /// Running.
    turns: Arc<Semaphore>,
}

impl Passwords {
    /// Works on `at_once` passwords at a time; up to [`MAX_WAITING_HASHES`] more wait.
    pub fn new(at_once: u16) -> Self {
        let at_once = usize::from(at_once);
        Self {
            places: Arc::new(Semaphore::new(at_once + MAX_WAITING_HASHES)),
            turns: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// A new hash, as a PHC string with a salt of its own.
    ///
    /// # Errors
    /// [`PasswordError::Overloaded`]; the system gives no randomness.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        self.run(move || {
            let hash = ARGON2.hash_password(password.expose_secret().as_bytes())?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password belongs to the hash. Without a hash it never does, and that takes as long to find out.
    ///
    /// # Errors
    /// [`PasswordError::Overloaded`]; the hash is not readable.
    pub async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        self.run(move || {
            let known = hash.is_some();
            let hash = PasswordHash::new(hash.as_deref().unwrap_or(NOBODYS_HASH))?;
            match ARGON2.verify_password(password.expose_secret().as_bytes(), &hash) {
                Ok(()) => Ok(known),
                Err(password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let place = self
            .places
            .clone()
            .try_acquire_owned()
            .map_err(|_| PasswordError::Overloaded)?;
        let turn = self
            .turns
            .clone()
            .acquire_owned()
            .await
            .expect("nobody closes it");
        let done = tokio::task::spawn_blocking(move || {
            // Kept by the work itself: it goes on where its caller has given up.
            let _kept = (place, turn);
            work()
        });
        match done.await {
            Ok(result) => result.map_err(PasswordError::Broken),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[tokio::test]
    async fn only_the_right_password_opens() {
        let passwords = Passwords::new(2);
        let hash = passwords.hash(secret("correct horse")).await.expect("room");
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert_ne!(
            hash,
            passwords.hash(secret("correct horse")).await.expect("room"),
            "each has its own salt"
        );
        assert!(
            passwords
                .verify(secret("correct horse"), Some(hash.clone()))
                .await
                .expect("room")
        );
        assert!(
            !passwords
                .verify(secret("correct hors"), Some(hash))
                .await
                .expect("room")
        );
    }

    #[tokio::test]
    async fn nobody_takes_as_long_as_somebody() {
        let passwords = Passwords::new(1);
        let hash = passwords.hash(secret("correct horse")).await.expect("room");
        let mut fastest = [Duration::MAX; 2];
        // As many rounds as a busy machine needs to show how fast both can be.
        for round in 0..50 {
            for (fastest, hash) in fastest.iter_mut().zip([Some(hash.clone()), None]) {
                let start = Instant::now();
                assert!(!passwords.verify(secret("wrong"), hash).await.expect("room"));
                *fastest = start.elapsed().min(*fastest);
            }
            let [known, unknown] = fastest;
            if round >= 4 && unknown * 3 > known * 2 && known * 3 > unknown * 2 {
                return;
            }
        }
        panic!("known and unknown differ: {fastest:?}");
    }

    #[tokio::test]
    async fn too_many_at_once_are_refused_and_the_others_served() {
        let passwords = Passwords::new(1);
        let all: Vec<_> = (0..MAX_WAITING_HASHES + 2)
            .map(|_| {
                let passwords = passwords.clone();
                async move { passwords.run(|| Ok(())).await }
            })
            .collect();
        let answers = futures::future::join_all(all).await;
        let refused = answers
            .iter()
            .filter(|answer| matches!(answer, Err(PasswordError::Overloaded)))
            .count();
        assert_eq!(refused, 1);
        assert!(
            passwords.run(|| Ok(())).await.is_ok(),
            "the places are free again"
        );
    }

    #[test]
    fn nobodys_hash_costs_what_others_cost() {
        let hash = PasswordHash::new(NOBODYS_HASH).expect("a PHC string");
        let params = Params::try_from(&hash).expect("argon2's");
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (MEMORY_KIB, PASSES, LANES)
        );
    }
}

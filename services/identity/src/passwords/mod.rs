//! Passwords to hashes (argon2id), a bounded number at a time: each one costs memory and a processor.

mod argon;

use std::sync::Arc;

use argon2::password_hash;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

/// Most passwords that wait for their turn; further ones are refused as overload.
pub const MAX_WAITING_HASHES: usize = 256;

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
        self.run(move || argon::hash(password.expose_secret()))
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
        self.run(move || argon::verify(password.expose_secret(), hash.as_deref()))
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
    use std::{
        sync::{Mutex, mpsc},
        time::{Duration, Instant},
    };

    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
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
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let taken: Vec<_> = (0..=MAX_WAITING_HASHES)
            .map(|_| {
                let (passwords, gate) = (passwords.clone(), gate.clone());
                let work = move || {
                    // Until the other end is gone.
                    let _ = gate.lock().map(|gate| gate.recv());
                    Ok(())
                };
                tokio::spawn(async move { passwords.run(work).await })
            })
            .collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = passwords.run(|| Ok(())).await;
        assert!(matches!(refused, Err(PasswordError::Overloaded)));
        drop(open);
        for served in taken {
            assert!(served.await.expect("nobody panicked").is_ok());
        }
        assert!(
            passwords.run(|| Ok(())).await.is_ok(),
            "the places are free again"
        );
    }
}

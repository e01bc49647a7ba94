//! How the apps' secrets are kept: sealed with a key that the database does not hold, where the configuration has one.

use std::sync::Arc;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    error::Unspecified,
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// First byte of a secret that is kept as it is.
const OPEN: u8 = 0;
/// First byte of one that is sealed: nonce, then ciphertext and tag follow.
const SEALED: u8 = 1;

/// Why a kept secret is not readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is sealed, and there is no key.
    #[error("a second factor is sealed, but SECOND_FACTOR_KEY is not set")]
    NoKey,
    /// Sealed with another key or for another account, or damaged.
    #[error("a second factor cannot be opened: is SECOND_FACTOR_KEY another one than before?")]
    Broken,
}

/// Seals and opens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seal {
    key: Option<Arc<RandomizedNonceKey>>,
}

impl Seal {
    /// With the key that follows from this text; without one secrets are kept as they are.
    ///
    /// # Errors
    /// The key cannot be made.
    pub fn new(key: Option<&SecretString>) -> Result<Self, Unspecified> {
        let key = key.map(|text| {
            let bytes = Sha256::digest(text.expose_secret());
            RandomizedNonceKey::new(&AES_256_GCM, &bytes).map(Arc::new)
        });
        Ok(Self {
            key: key.transpose()?,
        })
    }

    /// What is kept of an account's secret.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub fn seal(&self, account: Uuid, secret: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let Some(key) = &self.key else {
            return Ok([&[OPEN], secret].concat());
        };
        let mut text = secret.to_vec();
        // Bound to the account: nobody gets in with another row's secret.
        let nonce = key.seal_in_place_append_tag(Aad::from(account.as_bytes()), &mut text)?;
        Ok([&[SEALED], nonce.as_ref().as_slice(), &text].concat())
    }

    /// The account's secret.
    ///
    /// # Errors
    /// It is not readable.
    pub fn open(&self, account: Uuid, kept: &[u8]) -> Result<Vec<u8>, SealError> {
        let (how, rest) = kept.split_first().ok_or(SealError::Broken)?;
        match *how {
            OPEN => Ok(rest.to_vec()),
            SEALED => {
                let key = self.key.as_ref().ok_or(SealError::NoKey)?;
                let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Broken)?;
                let nonce =
                    Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
                let mut text = text.to_vec();
                key.open_in_place(nonce, Aad::from(account.as_bytes()), &mut text)
                    .map(|secret| secret.to_vec())
                    .map_err(|_| SealError::Broken)
            }
            _ => Err(SealError::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(key: Option<&str>) -> Seal {
        Seal::new(key.map(SecretString::from).as_ref()).expect("a key")
    }

    #[test]
    fn a_sealed_secret_is_its_accounts_and_its_keys() {
        let (account, secret) = (Uuid::now_v7(), b"12345678901234567890");
        let sealed = seal(Some("a")).seal(account, secret).expect("randomness");
        assert!(!sealed.windows(8).any(|part| secret.starts_with(part)));
        assert_eq!(
            seal(Some("a")).open(account, &sealed).as_deref(),
            Ok(&secret[..])
        );
        assert_eq!(
            seal(Some("b")).open(account, &sealed),
            Err(SealError::Broken)
        );
        assert_eq!(
            seal(Some("a")).open(Uuid::nil(), &sealed),
            Err(SealError::Broken)
        );
        assert_eq!(seal(None).open(account, &sealed), Err(SealError::NoKey));
        for damaged in [&sealed[..5], &[], &[9, 9]] {
            assert_eq!(
                seal(Some("a")).open(account, damaged),
                Err(SealError::Broken)
            );
        }
        // Kept as it was before there was a key.
        let open = seal(None).seal(account, secret).expect("randomness");
        assert_eq!(
            seal(Some("a")).open(account, &open).as_deref(),
            Ok(&secret[..])
        );
    }
}

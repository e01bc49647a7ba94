//! The services of the mesh that may ask for a token, by name and secret, as the configuration has them.

use std::{collections::HashMap, fmt, path::Path};

use anyhow::{Context as _, ensure};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;
/// Shortest secret that is taken, in bytes.
const MIN_SECRET_BYTES: usize = 16;

/// Names, and the hashes of their secrets: those compare in the same time whatever is wrong with them.
#[derive(Clone, Default)]
pub struct ServiceClients(HashMap<String, [u8; 32]>);

impl ServiceClients {
    /// Reads a JSON object of names and secrets.
    ///
    /// # Errors
    /// The file cannot be read, is too large, is no such object, or has a secret that is too short.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let explain = || format!("SERVICE_CLIENTS_FILE: cannot read {}", path.display());
        let size = std::fs::metadata(path).with_context(explain)?.len();
        ensure!(
            size <= MAX_FILE_BYTES,
            "SERVICE_CLIENTS_FILE: {} is larger than {MAX_FILE_BYTES} bytes",
            path.display()
        );
        let text = SecretString::from(std::fs::read_to_string(path).with_context(explain)?);
        Self::parse(text.expose_secret()).context("SERVICE_CLIENTS_FILE")
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        // serde's own message could quote a secret.
        let secrets: HashMap<String, SecretString> =
            serde_json::from_str(text).map_err(|error| {
                anyhow::anyhow!(
                    "no JSON object of names and secrets (line {})",
                    error.line()
                )
            })?;
        let hashed = secrets.into_iter().map(|(name, secret)| {
            let secret = secret.expose_secret();
            ensure!(
                secret.len() >= MIN_SECRET_BYTES,
                "the secret of '{name}' has less than {MIN_SECRET_BYTES} bytes"
            );
            Ok((name, Sha256::digest(secret).into()))
        });
        Ok(Self(hashed.collect::<Result<_, _>>()?))
    }

    /// Whether a service has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether this is the service's secret.
    pub fn admits(&self, name: &str, secret: &SecretString) -> bool {
        const NOBODYS: [u8; 32] = [0; 32]; // The hash of nothing known: an unknown name takes the same way.
        let expected = self.0.get(name).unwrap_or(&NOBODYS);
        verify_slices_are_equal(&Sha256::digest(secret.expose_secret()), expected).is_ok()
    }
}

impl fmt::Debug for ServiceClients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"ordering": "ordering-secret-1", "saga": "saga-secret-123456"}"#;

    #[test]
    fn a_service_is_admitted_by_its_own_secret_only() {
        let clients = ServiceClients::parse(FILE).expect("good");
        assert!(clients.admits("ordering", &"ordering-secret-1".into()));
        assert!(!clients.admits("ordering", &"saga-secret-123456".into()));
        assert!(!clients.admits("ordering", &"".into()));
        assert!(!clients.admits("payment", &"ordering-secret-1".into()));
        assert!(!ServiceClients::default().admits("", &"".into()));
    }

    #[test]
    fn a_bad_file_is_refused_without_showing_it() {
        for text in ["", "[]", r#"{"ordering": 5}"#, r#"{"ordering": "short"}"#] {
            let error = ServiceClients::parse(text).expect_err("bad");
            assert!(!format!("{error:#}").contains("short"), "{error:#}");
        }
        assert!(!format!("{:?}", ServiceClients::parse(FILE)).contains("secret"));
    }
}

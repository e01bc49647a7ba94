//! Secrets of a local mesh: made once, at random, each in a file of its own that only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::home::Home;
use super::topology::Topology;

/// Randomness of a secret.
const SECRET_BYTES: usize = 24;

/// File of the admin's login with a second factor.
const ADMIN_SESSION: &str = "admin-session";

/// Address of the admin account. `.test` is reserved: no mail can ever reach it.
pub const ADMIN_EMAIL: &str = "admin@caravan.test";
/// Address of the demo customer.
pub const CUSTOMER_EMAIL: &str = "customer@caravan.test";

/// Paths of the secrets of one home.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// The secrets of `home`, whether made yet or not.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        Self {
            folder: home.secrets(),
        }
    }

    /// Makes what is missing and leaves alone what is there.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn make(&self, topology: &Topology) -> anyhow::Result<()> {
        let mut clients = Map::new();
        for service in topology.services() {
            let secret = secret(&self.client(service.name), "")?;
            clients.insert(service.name.to_owned(), Value::String(secret));
        }
        // Written anew each time: it only repeats the files above.
        let path = self.clients();
        write(&path, &Value::Object(clients).to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        secret(&self.admin_password(), "")?;
        secret(&self.provider_key(), "sk_test_")?;
        secret(&self.second_factor_key(), "")?;
        self.customer_password()?;
        Ok(())
    }

    /// A service's own secret at identity.
    #[must_use]
    pub fn client(&self, service: &str) -> PathBuf {
        self.folder.join(format!("{service}-client"))
    }

    /// All of them, as identity reads them.
    #[must_use]
    pub fn clients(&self) -> PathBuf {
        self.folder.join("service-clients.json")
    }

    /// The admin account's password.
    #[must_use]
    pub fn admin_password(&self) -> PathBuf {
        self.folder.join("admin-password")
    }

    /// The key that payment shows to the provider.
    #[must_use]
    pub fn provider_key(&self) -> PathBuf {
        self.folder.join("provider-key")
    }

    /// What identity seals second factors with.
    #[must_use]
    pub fn second_factor_key(&self) -> PathBuf {
        self.folder.join("second-factor-key")
    }

    /// The refresh token of the admin's login with a second factor; `None` where there was none yet.
    ///
    /// # Errors
    /// Where its file cannot be read.
    pub fn admin_session(&self) -> anyhow::Result<Option<String>> {
        let path = self.folder.join(ADMIN_SESSION);
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read
                .map(Some)
                .with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Keeps that.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn keep_admin_session(&self, token: &str) -> anyhow::Result<()> {
        let path = self.folder.join(ADMIN_SESSION);
        write(&path, token).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The demo customer's password itself.
    ///
    /// # Errors
    /// Where its file cannot be read or written.
    pub fn customer_password(&self) -> anyhow::Result<String> {
        secret(&self.folder.join("customer-password"), "")
    }
}

/// The secret in the file, made there first where it is missing.
fn secret(path: &Path, prefix: &str) -> anyhow::Result<String> {
    let make = || -> std::io::Result<String> {
        let mut bytes = [0; SECRET_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let text = bytes
            .iter()
            .fold(prefix.to_owned(), |text, byte| format!("{text}{byte:02x}"));
        write(path, &text)?;
        Ok(text)
    };
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => make(),
        read => read,
    }
    .with_context(|| format!("cannot read or make the secret {}", path.display()))
}

/// Writes a file that only its owner can read, whole or not at all.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let next = path.with_extension("next");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    options.open(&next)?.write_all(text.as_bytes())?;
    // Renamed when whole: a crash in between leaves no empty secret behind.
    std::fs::rename(&next, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path()).unwrap();
        let topology = Topology::new(8080).unwrap();
        let secrets = Secrets::of(&home);
        secrets.make(&topology).unwrap();
        let read = || -> Vec<(PathBuf, String)> {
            let mut files: Vec<_> = std::fs::read_dir(home.secrets())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            files.sort();
            files
                .into_iter()
                .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
                .collect()
        };
        let first = read();
        secrets.make(&topology).unwrap();
        assert_eq!(first, read());
        assert_eq!(first.len(), topology.services().count() + 5);
        for (path, _) in &first {
            assert_eq!(
                path.metadata().unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
        let clients: Value =
            serde_json::from_str(&std::fs::read_to_string(secrets.clients()).unwrap()).unwrap();
        assert_eq!(
            clients["ordering"],
            std::fs::read_to_string(secrets.client("ordering")).unwrap()
        );
    }
}

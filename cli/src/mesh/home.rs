//! The folder that a mesh lives in. Two meshes with different homes know nothing of each other.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// How often a claim looks whether the home is free, and how long it waits in between.
const CLAIM_TRIES: u32 = 3;
const CLAIM_PAUSE: Duration = Duration::from_millis(10);

/// The folder of one mesh and what is in it.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The home at `root`, made where it is missing; only its owner may look inside, since it holds secrets.
    ///
    /// # Errors
    /// Where a folder cannot be made.
    pub fn create(root: &Path) -> anyhow::Result<Self> {
        let make = |path: &Path| {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .with_context(|| format!("cannot make the folder {}", path.display()))
        };
        make(root)?;
        let home = Self::open(root)?;
        for folder in [home.data(), home.logs(), home.secrets(), home.nats_store()] {
            make(&folder)?;
        }
        Ok(home)
    }

    /// The home at `root`, which must exist.
    ///
    /// # Errors
    /// Where there is no such folder.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        let root = root
            .canonicalize()
            .with_context(|| format!("there is no mesh at {}", root.display()))?;
        Ok(Self { root })
    }

    /// Absolute and without symbolic links, so that one home has one name.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The services' SQLite files and the provider's ledger.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// One log file for each process.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Generated secrets, readable by their owner only.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// JetStream's files.
    #[must_use]
    pub fn nats_store(&self) -> PathBuf {
        self.root.join("nats")
    }

    /// The broker's generated configuration.
    #[must_use]
    pub fn nats_config(&self) -> PathBuf {
        self.root.join("nats-server.conf")
    }

    /// What runs now.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    fn lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Claims the home for this process until the claim is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// Where another `caravan up` has it.
    pub fn claim(&self) -> anyhow::Result<Claim> {
        let path = self.lock_path();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let mut tries = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // `owner` holds it for an instant: look again before blaming a mesh.
                Err(TryLockError::WouldBlock) if tries < CLAIM_TRIES => {
                    std::thread::sleep(CLAIM_PAUSE)
                }
                Err(TryLockError::WouldBlock) => {
                    let owner = self
                        .owner()
                        .map(|pid| format!(" (pid {pid})"))
                        .unwrap_or_default();
                    bail!(
                        "a mesh already runs in {}{owner}: stop it with `caravan down` or choose another --home",
                        self.root.display()
                    );
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            tries += 1;
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Claim { _file: file })
    }

    /// The process id of the `caravan up` that holds the home now.
    #[must_use]
    pub fn owner(&self) -> Option<u32> {
        let mut file = File::open(self.lock_path()).ok()?;
        // A shared lock, so that two askers do not take each other for the owner.
        if file.try_lock_shared().is_ok() {
            return None;
        }
        let mut pid = String::new();
        file.read_to_string(&mut pid).ok()?;
        pid.trim().parse().ok()
    }
}

/// Exclusive use of a home.
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_claimed_once_and_again_after_release() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(&folder.path().join("a")).unwrap();
        assert_eq!(home.owner(), None);
        let claim = home.claim().unwrap();
        assert_eq!(home.owner(), Some(std::process::id()));
        let refused = home.claim().unwrap_err().to_string();
        assert!(refused.contains("already runs in"), "{refused}");
        drop(claim);
        home.claim().unwrap();
    }
}

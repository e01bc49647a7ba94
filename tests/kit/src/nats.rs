//! A NATS server of the test's own, for tests of a single service.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::Deserialize;
use tempfile::TempDir;

use crate::wait::until;

/// A `nats-server` with JetStream on a free port, its store in a temporary folder. Ends with the value.
#[derive(Debug)]
pub struct Nats {
    server: Child,
    port: u16,
    home: TempDir,
    store: PathBuf,
}

/// Room that all streams of a server may ask for, whatever its disk has.
const MAX_STORE: &str = "1TB";

/// What nats-server writes into its ports file.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Nats {
    /// Starts a server and waits until it takes connections.
    ///
    /// # Panics
    /// Where `nats-server` is not installed or does not come up.
    pub async fn start() -> Self {
        let home = home();
        let store = home.path().join("store");
        Self::start_at(home, store).await
    }

    /// As [`Nats::start`], with its store in a folder of the caller's.
    ///
    /// # Panics
    /// As [`Nats::start`].
    pub async fn start_in(store: &Path) -> Self {
        Self::start_at(home(), store.to_owned()).await
    }

    async fn start_at(home: TempDir, store: PathBuf) -> Self {
        // The server chooses the port itself: nobody can take it in between.
        let server = spawn(home.path(), &store, "-1");
        let ports = home
            .path()
            .join(format!("nats-server_{}.ports", server.id()));
        let port = until("nats-server names its port", || async {
            let text = fs::read(&ports).map_err(|error| error.to_string())?;
            let ports: Ports = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
            let address = ports.nats.first().ok_or("no address yet")?;
            let port = address.rsplit(':').next().unwrap_or_default();
            port.parse().map_err(|error| format!("{address}: {error}"))
        })
        .await;
        let nats = Self {
            server,
            port,
            home,
            store,
        };
        nats.accepts().await;
        nats
    }

    /// `nats://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends the server at once (SIGKILL); its store stays.
    pub fn kill(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }

    /// Starts the killed server again with the same store, on the same port.
    pub async fn restart(&mut self) {
        self.kill();
        self.server = spawn(self.home.path(), &self.store, &self.port.to_string());
        self.accepts().await;
    }

    /// As [`Nats::restart`], but the store is lost on the way.
    pub async fn restart_empty(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.store);
        self.restart().await;
    }

    /// Where the server keeps its streams, e.g. to put an older state of it in place.
    pub fn store(&self) -> PathBuf {
        self.store.clone()
    }

    async fn accepts(&self) {
        until("nats-server takes connections", || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port))
        })
        .await;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

fn home() -> TempDir {
    tempfile::Builder::new()
        .prefix("caravan-nats-")
        .tempdir()
        .expect("a temporary folder")
}

fn spawn(home: &Path, store: &Path, port: &str) -> Child {
    // By itself the server promises no more than three quarters of the disk, and streams ask for room beforehand.
    let config = home.join("nats-server.conf");
    let jetstream = format!("jetstream {{ store_dir: {store:?}, max_file_store: {MAX_STORE} }}\n");
    fs::write(&config, jetstream).expect("a file in the home");
    Command::new(program())
        .args(["--addr", "127.0.0.1", "--port", port, "--config"])
        .arg(config)
        .arg("--ports_file_dir")
        .arg(home)
        .arg("--log")
        .arg(home.join("nats.log"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server runs; `make test` installs it")
}

/// Debian keeps the server in a folder that is not on every user's PATH.
fn program() -> &'static str {
    const DEBIAN: &str = "/usr/sbin/nats-server";
    if Path::new(DEBIAN).exists() {
        DEBIAN
    } else {
        "nats-server"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_restarted_server_has_the_same_address() {
        let mut nats = Nats::start().await;
        let url = nats.url();
        nats.restart().await;
        assert_eq!(nats.url(), url);
    }
}

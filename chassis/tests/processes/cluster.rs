//! A PostgreSQL cluster of a test's own, which may be killed.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use kit::{DatabaseUrl, wait::within};
use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;

use crate::pair::SETTLED_WITHIN;

/// A running cluster. Ends with the value.
pub(crate) struct Cluster {
    home: TempDir,
    programs: PathBuf,
    port: u16,
    server: Child,
}

impl Cluster {
    /// `None` where PostgreSQL's server programs are not installed.
    pub(crate) async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: no initdb in /usr/lib/postgresql");
            return None;
        };
        let home = tempfile::Builder::new()
            .prefix("caravan-cluster-")
            .tempdir()
            .expect("a temporary folder");
        let _ = Command::new("chown")
            .arg("postgres")
            .arg(home.path())
            .status();
        let made = as_postgres(&programs.join("initdb"))
            .args([
                "-U",
                "caravan",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-D",
            ])
            .arg(home.path().join("data"))
            .stdout(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "initdb");
        // Free now; nobody else takes a port from below the range of outgoing connections so soon.
        let port = free_port();
        let server = spawn(&programs, home.path(), port);
        let mut cluster = Self {
            home,
            programs,
            port,
            server,
        };
        cluster.answers().await;
        Some(cluster)
    }

    /// A new, empty database.
    pub(crate) fn database(&self, name: &str) -> DatabaseUrl {
        let cluster = format!("postgres://caravan@127.0.0.1:{}", self.port);
        DatabaseUrl::in_cluster(&cluster, name)
    }

    /// Ends the postmaster at once (SIGKILL); its children notice and end.
    pub(crate) fn kill(&mut self) {
        let pid = fs::read_to_string(self.home.path().join("data/postmaster.pid"));
        let pid = pid
            .expect("it runs")
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.is_ok_and(|status| status.success()), "kill -9");
        let _ = self.server.wait();
    }

    /// Starts the killed cluster again.
    pub(crate) async fn restart(&mut self) {
        self.server = spawn(&self.programs, self.home.path(), self.port);
        self.answers().await;
    }

    /// Waits until the cluster takes statements. It does not start while a child of the one before is left.
    async fn answers(&mut self) {
        let url = format!("postgres://caravan@127.0.0.1:{}/postgres", self.port);
        within(SETTLED_WITHIN, "PostgreSQL answers", || {
            if let Ok(Some(_)) = self.server.try_wait() {
                self.server = spawn(&self.programs, self.home.path(), self.port);
            }
            async {
                let connection = Database::connect(&url).await?;
                connection.execute_unprepared("SELECT 1").await?;
                connection.close().await
            }
        })
        .await;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = as_postgres(&self.programs.join("pg_ctl"))
            .args(["-m", "immediate", "-w", "stop", "-D"])
            .arg(self.home.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = self.server.wait();
    }
}

fn spawn(programs: &Path, home: &Path, port: u16) -> Child {
    as_postgres(&programs.join("postgres"))
        .arg("-D")
        .arg(home.join("data"))
        .args(["-p", &port.to_string()])
        .args(["-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories="])
        .args(["-c", "max_connections=200"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("postgres runs")
}

/// The engine refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"0"));
    let mut command = match is_root {
        true => Command::new("setpriv"),
        false => Command::new(program),
    };
    if is_root {
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(program);
    }
    command.current_dir("/");
    command
}

/// Where Debian keeps the server's programs, the newest of them.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    programs.filter(|bin| bin.join("initdb").exists()).max()
}

fn free_port() -> u16 {
    (15_000..19_000)
        .map(|port| 15_000 + (port + std::process::id() % 4_000) % 4_000)
        .find_map(|port| {
            let port = u16::try_from(port).ok()?;
            TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
        })
        .expect("a free port")
}

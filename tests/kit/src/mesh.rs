//! A `caravan up` of the test's own, as a process.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::setup::Setup;

/// What the gateway of a mesh is told.
const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies.yaml");
/// Longest time for all services to drain and exit.
const STOP_WITHIN: Duration = Duration::from_secs(40);
/// Time between two looks whether the mesh has exited.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A process of the mesh, as `caravan status --json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// Name of the service, or of the server.
    pub name: String,
    /// The process now running; none while it waits for its restart.
    pub pid: Option<u32>,
    /// `host:port` of a service.
    pub grpc: Option<String>,
    /// `host:port` of the gateway or the payment provider.
    pub http: Option<String>,
    /// `host:port` of the broker.
    pub nats: Option<String>,
    /// `host:port` of its admin listener.
    pub admin: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// Whether its readiness check answers.
    pub ready: bool,
}

/// The answer of `caravan status --json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether the mesh has come up and every process is ready now.
    pub ready: bool,
    /// Base URL of REST.
    pub gateway_url: Option<String>,
    /// From start to ready, in milliseconds.
    pub ready_after_ms: Option<u64>,
    /// Every process.
    pub processes: Vec<Process>,
}

/// A running mesh. Stops when the value ends.
#[derive(Debug)]
pub struct Mesh {
    up: Child,
    home: PathBuf,
    log: PathBuf,
}

impl Mesh {
    /// Starts `caravan up` in `home` (which is made) on the ports from `port_base`. The log, one JSON object a line,
    /// goes to `log`.
    pub fn spawn(home: &Path, port_base: u16, setup: &Setup, log: &Path) -> Self {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("the log opens");
        let up = caravan()
            .arg("up")
            .arg("--home")
            .arg(home)
            .args([
                "--port-base",
                &port_base.to_string(),
                "--until-stdin-closes",
            ])
            .args(&setup.arguments)
            .envs(setup.variables.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a second handle on the log"))
            .stderr(out)
            .spawn()
            .expect("the caravan binary lies beside the tests: `make test` builds it");
        Self {
            up,
            home: home.to_owned(),
            log: log.to_owned(),
        }
    }

    /// Whether the command has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.up.try_wait().expect("the command is ours to wait for")
    }

    /// The command's own process id.
    pub fn pid(&self) -> u32 {
        self.up.id()
    }

    /// How the mesh is.
    ///
    /// # Errors
    /// What `caravan status` said instead.
    pub fn status(&self) -> Result<Status, String> {
        let output = caravan()
            .args(["status", "--json", "--home"])
            .arg(&self.home)
            .stdin(Stdio::null())
            .output()
            .expect("the caravan binary lies beside the tests");
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Everything that was logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Closes the command's standard input and waits for its end; `None` where it had to be killed.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        drop(self.up.stdin.take());
        let deadline = Instant::now() + STOP_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(LOOK_EVERY);
        }
        self.kill();
        None
    }

    /// Ends the command at once, and what it leaves running.
    fn kill(&mut self) {
        let _ = self.up.kill();
        let _ = self.up.wait();
        let _ = caravan()
            .args(["down", "--home"])
            .arg(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.stop();
        }
    }
}

/// Sends a signal by its name without `SIG`, e.g. `KILL`. A process that is gone is no error.
pub fn signal(pid: u32, name: &str) {
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The `caravan` command that was built with this program. The gateway of a mesh lets all customers come from one address.
pub fn caravan() -> Command {
    let mut command = Command::new(binary("caravan"));
    command.env("POLICIES", POLICIES);
    command
}

/// A binary that was built with this program.
pub fn binary(name: &str) -> PathBuf {
    let program = env::current_exe().expect("a running program has a path");
    let folder = program.parent().expect("a file lies in a folder");
    let folder = match folder.file_name() {
        Some(name) if name == "deps" => folder.parent().expect("deps lies in a folder"),
        _ => folder,
    };
    folder.join(name)
}

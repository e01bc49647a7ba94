//! A home, a port range and a folder of programs for one mesh of a test; everything is gone when it is dropped.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use caravan::mesh::home::Home;
use caravan::mesh::leftovers::{self, Held};
use caravan::mesh::topology::{self, PORTS};
use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const CARAVAN: &str = env!("CARGO_BIN_EXE_caravan");

pub(crate) struct World {
    folder: TempDir,
    pub(crate) port_base: u16,
    _ports: File,
}

/// A `caravan up` in the foreground.
pub(crate) struct Up {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let standin = Path::new(CARAVAN)
            .parent()
            .unwrap()
            .join("examples/standin");
        assert!(
            standin.exists(),
            "`cargo test` and `cargo nextest run` build the examples unless told a single target"
        );
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        for name in topology::names().filter(|name| *name != "nats-server") {
            std::os::unix::fs::symlink(&standin, folder.path().join("bin").join(name)).unwrap();
        }
        let (port_base, ports) = free_ports();
        Self {
            folder,
            port_base,
            _ports: ports,
        }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// A command of this world's mesh.
    pub(crate) fn caravan(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CARAVAN);
        command
            .arg("--home")
            .arg(self.home())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn up_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.caravan(&[
            "up",
            "--port-base",
            &self.port_base.to_string(),
            "--bin-dir",
        ]);
        command.arg(self.bin()).args(arguments);
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.caravan(arguments).output().unwrap()
    }

    pub(crate) fn spawn(&self, command: &mut Command) -> Up {
        let mut child = command
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Up {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// A mesh that is ready.
    pub(crate) fn up(&self, arguments: &[&str]) -> Up {
        let mut up = self.spawn(&mut self.up_command(arguments));
        up.until("ready", |line| line["event"] == "ready");
        up
    }

    pub(crate) fn status(&self) -> Value {
        serde_json::from_slice(&self.run(&["status", "--json"]).stdout).unwrap()
    }

    pub(crate) fn process(&self, name: &str) -> Value {
        let status = self.status();
        status["processes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|process| process["name"] == name)
            .unwrap_or_else(|| panic!("{name} in {status}"))
            .clone()
    }

    pub(crate) fn held(&self, name: &str) -> Held {
        let pid = self.process(name)["pid"].as_u64().unwrap();
        Held::take(u32::try_from(pid).unwrap(), name).unwrap()
    }

    /// Names of the processes that run, whoever started them.
    pub(crate) fn running(&self) -> Vec<String> {
        let mut names: Vec<_> = Home::open(&self.home())
            .map(|home| leftovers::find(&home))
            .unwrap_or_default()
            .into_iter()
            .map(|held| held.name)
            .collect();
        names.sort_unstable();
        names
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.run(&["down", "--timeout", "1s"]);
    }
}

impl Up {
    /// Waits for a line.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        let mut seen = Vec::new();
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) if wanted(&line) => return line,
                Ok(line) => seen.push(line.to_string()),
                Err(_) => panic!("no line: {what}\n{}\n{}", seen.join("\n"), self.complaint()),
            }
        }
    }

    pub(crate) fn held(&self) -> Held {
        Held::take(self.child.id(), "caravan").unwrap()
    }

    /// Closes stdin and waits for the end.
    pub(crate) fn close(mut self) -> Output {
        drop(self.stdin.take());
        self.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Output {
        assert!(
            self.held().wait(Instant::now() + DEADLINE),
            "caravan up does not end"
        );
        let stderr = self.complaint().into_bytes();
        Output {
            status: self.child.wait().unwrap(),
            stdout: Vec::new(),
            stderr,
        }
    }

    fn complaint(&mut self) -> String {
        if !self.held().wait(Instant::now()) {
            return String::new();
        }
        let mut text = String::new();
        self.child
            .stderr
            .take()
            .map(|mut stderr| stderr.read_to_string(&mut text));
        text
    }
}

/// Waits for a condition.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Below the blocks and the PostgreSQL cluster of the stories' own kit.
const FIRST_PORT: u16 = 10_000;
const END_PORT: u16 = 15_000;

/// The first port of a range that is free, and a lock that keeps it from other tests.
fn free_ports() -> (u16, File) {
    let folder = std::env::temp_dir().join("caravan-test-ports");
    std::fs::create_dir_all(&folder).unwrap();
    for base in (FIRST_PORT..END_PORT).step_by(usize::from(PORTS)) {
        let lock = File::create(folder.join(base.to_string())).unwrap();
        if lock.try_lock().is_ok()
            && (base..base + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        {
            return (base, lock);
        }
    }
    panic!("no free ports");
}

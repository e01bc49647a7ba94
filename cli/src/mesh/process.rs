//! One process of a mesh: how it is started and told to end.

use std::ffi::OsString;
use std::io::{PipeReader, pipe};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::binaries;
use super::environment::Environment;
use super::topology::{Node, Role};

/// Everything that is needed to start a process, again and again.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who it is.
    pub node: Node,
    program: PathBuf,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
}

impl Plan {
    /// The plan for `node`, its program being in `folder` (or, the broker's, in the system).
    ///
    /// # Errors
    /// Where the program is missing.
    pub fn new(
        node: &Node,
        folder: &std::path::Path,
        environment: &Environment<'_>,
    ) -> anyhow::Result<Self> {
        let arguments = match node.role {
            Role::Broker => vec!["-c".into(), environment.home.nats_config().into()],
            Role::Gateway | Role::Service | Role::Provider => Vec::new(),
        };
        Ok(Self {
            node: node.clone(),
            program: binaries::find(node, folder)?,
            arguments,
            variables: environment.of(node),
        })
    }

    /// Where its program is.
    #[must_use]
    pub fn program(&self) -> &std::path::Path {
        &self.program
    }

    /// Starts the process. What it says on stdout and stderr comes through the one pipe.
    ///
    /// # Errors
    /// Where the system does not start it.
    pub fn spawn(&self) -> anyhow::Result<(Child, PipeReader)> {
        let (reader, writer) = pipe().context("cannot make a pipe")?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        for variable in Environment::owned() {
            command.env_remove(variable);
        }
        command.envs(self.variables.iter().cloned());
        // A group of its own: Ctrl-C reaches only us, and we stop the processes in order.
        command.process_group(0).kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        Ok((child, reader))
    }
}

/// Asks a child to drain. One that has ended already is left alone.
pub fn terminate(child: &Child) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // The child is ours and not reaped yet, so the number still means it.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// `exit code 1` or `signal 9 (SIGKILL)`.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return status
            .code()
            .map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    };
    let name = [
        ("SIGHUP", 1),
        ("SIGINT", 2),
        ("SIGILL", 4),
        ("SIGTRAP", 5),
        ("SIGABRT", 6),
        ("SIGBUS", 7),
        ("SIGFPE", 8),
        ("SIGKILL", 9),
        ("SIGSEGV", 11),
        ("SIGPIPE", 13),
        ("SIGTERM", 15),
    ]
    .iter()
    .find_map(|(name, number)| (*number == signal).then_some(*name));
    name.map_or_else(
        || format!("signal {signal}"),
        |name| format!("signal {signal} ({name})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_described() {
        assert_eq!(describe(ExitStatus::from_raw(9)), "signal 9 (SIGKILL)");
        assert_eq!(describe(ExitStatus::from_raw(64)), "signal 64");
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "exit code 3");
    }
}

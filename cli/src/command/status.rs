//! `caravan status`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use tokio::task::JoinSet;

use super::report::{address, columns};
use crate::mesh::home::Home;
use crate::mesh::leftovers;
use crate::mesh::readiness;
use crate::mesh::state::{Phase, ProcessState, State};
use crate::mesh::topology::Topology;

/// Options of `caravan status`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// A mesh as `caravan status --json` prints it.
#[derive(Debug, Serialize)]
struct Status {
    home: String,
    /// `stopped`, `starting`, `ready`, `draining`.
    phase: &'static str,
    /// Whether every process is ready now.
    ready: bool,
    pid: Option<u32>,
    gateway_url: Option<String>,
    ready_after_ms: Option<u64>,
    processes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct Process {
    #[serde(flatten)]
    state: ProcessState,
    ready: bool,
}

/// Prints what runs in the home and whether it is ready now.
///
/// # Errors
/// Where the state cannot be read.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let status = look(home).await?;
    if args.json {
        super::print(format!("{}\n", serde_json::to_string_pretty(&status)?).as_bytes());
    } else {
        super::print(status.text().as_bytes());
    }
    Ok(if status.ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn look(path: &Path) -> anyhow::Result<Status> {
    let stopped = |home: String| Status {
        home,
        phase: "stopped",
        ready: false,
        pid: None,
        gateway_url: None,
        ready_after_ms: None,
        processes: Vec::new(),
    };
    let Ok(home) = Home::open(path) else {
        return Ok(stopped(path.display().to_string()));
    };
    let name = home.root().display().to_string();
    let (Some(pid), Some(state)) = (home.owner(), State::read(&home.state())?) else {
        let left: Vec<_> = leftovers::find(&home)
            .into_iter()
            .map(|held| held.name)
            .collect();
        if !left.is_empty() {
            anyhow::bail!(
                "`caravan up` was killed and left {} running in {name}: stop them with `caravan down`",
                left.join(", ")
            );
        }
        return Ok(stopped(name));
    };
    let topology = Topology::new(state.port_base)?;
    let mut checks = JoinSet::new();
    for (index, node) in topology.nodes.into_iter().enumerate() {
        checks.spawn(async move { (index, node.name, readiness::check(&node).await.is_ok()) });
    }
    let mut ready: Vec<_> = checks.join_all().await;
    ready.sort_unstable();
    let is_ready = |process: &ProcessState| {
        process.pid.is_some()
            && ready
                .iter()
                .any(|(_, name, ready)| *name == process.name && *ready)
    };
    let processes: Vec<_> = state
        .processes
        .into_iter()
        .map(|state| Process {
            ready: is_ready(&state),
            state,
        })
        .collect();
    let phase = match state.phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
    };
    Ok(Status {
        home: name,
        phase,
        ready: state.phase == Phase::Ready && processes.iter().all(|process| process.ready),
        pid: Some(pid),
        gateway_url: Some(state.gateway_url),
        ready_after_ms: state.ready_after_ms,
        processes,
    })
}

impl Status {
    fn text(&self) -> String {
        let Some(gateway) = &self.gateway_url else {
            return format!("no mesh runs in {}\n", self.home);
        };
        let rows = self.processes.iter().map(|Process { state, ready }| {
            let dash = || "-".to_owned();
            [
                state.name.clone(),
                state.pid.map_or_else(dash, |pid| pid.to_string()),
                address(state),
                state.admin.clone().unwrap_or_else(dash),
                if *ready { "yes" } else { "no" }.to_owned(),
                state.restarts.to_string(),
            ]
        });
        let table = columns(
            ["SERVICE", "PID", "GRPC", "ADMIN", "READY", "RESTARTS"],
            rows,
        );
        format!("{table}\nGateway: {gateway} ({})\n", self.phase)
    }
}

/// The state of the mesh that runs in the home.
///
/// # Errors
/// Where none runs.
pub fn running(home: &Home) -> anyhow::Result<State> {
    home.owner()
        .and_then(|_| State::read(&home.state()).transpose())
        .with_context(|| {
            format!(
                "no mesh runs in {}: start one with `caravan up`",
                home.root().display()
            )
        })?
}

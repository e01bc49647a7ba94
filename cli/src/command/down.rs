//! `caravan down`.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::mesh::home::Home;
use crate::mesh::leftovers::{self, Held};
use crate::mesh::topology::Role;

/// Options of `caravan down`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Longest wait for each group of processes; what still runs then is killed.
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

/// Stops the mesh of the home. A home without one is no error.
///
/// # Errors
/// Where the home cannot be looked at.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    if !home.exists() {
        super::print(format!("no mesh runs in {}\n", home.display()).as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let home = Home::open(home)?;
    let supervised = stop_supervisor(&home, args.timeout);
    // Held while looking for the rest, so that no new mesh is taken for an old one's rest.
    let _claim = home.claim().context("cannot stop the mesh")?;
    let left = leftovers::stop(&home, args.timeout);
    match std::fs::remove_file(home.state()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context("cannot remove the state file");
        }
        _ => {}
    }
    let place = home.root().display();
    let said = match (supervised, left.is_empty()) {
        (true, true) => format!("the mesh in {place} has drained\n"),
        (false, true) => format!("no mesh runs in {place}\n"),
        (_, false) => format!(
            "stopped what was left of the mesh in {place}: {}\n",
            left.join(", ")
        ),
    };
    super::print(said.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Lets the `caravan up` of the home drain its mesh, or kills it when it takes too long. Whether there was one.
fn stop_supervisor(home: &Home, timeout: Duration) -> bool {
    let Some(held) = home.owner().and_then(|pid| Held::take(pid, "caravan")) else {
        return false;
    };
    // Asked again now that the number is held: it cannot come to mean another process any more.
    if home.owner() != Some(held.pid) {
        return false;
    }
    held.terminate();
    let groups = u32::try_from(Role::DRAIN_ORDER.len()).unwrap_or(u32::MAX);
    if !held.wait(Instant::now() + timeout * groups) {
        held.kill();
        let _ = held.wait(Instant::now() + Duration::from_secs(1));
    }
    true
}

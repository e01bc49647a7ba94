//! `caravan up`: starts a mesh, keeps it alive, drains it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::Map;

use super::report::Report;
use super::stop::Stop;
use crate::logs::Logs;
use crate::logs::console::{Console, Format};
use crate::logs::line::Level;
use crate::mesh::environment::Environment;
use crate::mesh::home::Home;
use crate::mesh::postgres::{self, Template};
use crate::mesh::process::Plan;
use crate::mesh::roster::Roster;
use crate::mesh::secrets::Secrets;
use crate::mesh::state::Phase;
use crate::mesh::supervisor::Supervisor;
use crate::mesh::topology::{Role, Topology};
use crate::mesh::{binaries, leftovers, nats, ports};
use crate::shop::{Shop, session::NeedsCode};

/// How a mesh is started.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// First of the ports that the mesh takes; the gateway listens there.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub port_base: u16,
    /// Return once the mesh is ready; `caravan down` stops it.
    #[arg(long, conflicts_with = "until_stdin_closes")]
    pub detach: bool,
    /// Start with an empty catalogue.
    #[arg(long)]
    pub no_seed: bool,
    /// PostgreSQL instead of SQLite, e.g. postgres://user@localhost:5432/caravan_{service}; missing databases are created.
    #[arg(long, value_name = "URL", value_parser = Template::parse)]
    pub postgres: Option<Template>,
    /// Where the programs of the services are: beside this one unless said otherwise.
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// Also drain when stdin ends, so that a test harness that dies leaves nothing behind.
    #[arg(long)]
    pub until_stdin_closes: bool,
    /// Longest wait between SIGTERM and exit of one process.
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "25s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub drain_timeout: Duration,
    /// Longest wait until every process is ready.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub ready_timeout: Duration,
    /// Set by --detach for the process that stays.
    #[arg(long, hide = true)]
    pub background: bool,
}

/// Runs the mesh until it is told to stop.
///
/// # Errors
/// What kept the mesh from starting; then nothing runs any more.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let topology = Topology::new(args.port_base)?;
    let home = Home::create(home)?;
    let _claim = home.claim()?;
    let mut stop = Stop::listen(args.background, args.until_stdin_closes)?;
    let format = if args.background {
        Format::Silent
    } else {
        Format::of_stdout()
    };
    let logs = Arc::new(Logs::open(&home, Console::start(format))?);
    let say = |message: &str| logs.say(Level::Info, message, Map::new());

    let left = leftovers::stop(&home, args.drain_timeout);
    if !left.is_empty() {
        say(&format!(
            "stopped what an earlier mesh in this home had left running: {}",
            left.join(", ")
        ));
    }
    let unready = |reason| anyhow!("stopped by {reason} before the mesh was ready");
    let plans = tokio::select! {
        plans = prepare(args, &home, &topology) => plans?,
        reason = stop.next() => return Err(unready(reason)),
    };
    let roster = Arc::new(Roster::new(&home, &topology)?);
    let mut supervisor = Supervisor::start(plans, &logs, &roster, args.drain_timeout);

    let outcome = tokio::select! {
        begun = begin(args, &home, &topology, &mut supervisor) => begun,
        reason = stop.next() => Err(unready(reason)),
    };
    if outcome.is_ok() {
        roster.phase(
            Phase::Ready,
            u64::try_from(started.elapsed().as_millis()).ok(),
        );
        Report::new(&roster.state(), &home).show(&logs);
        let reason = stop.next().await;
        say(&format!("draining after {reason}; once more kills at once"));
    }
    roster.phase(Phase::Draining, None);
    supervisor.drain(stop.insisted()).await;
    roster.clear();
    if outcome.is_ok() {
        say("all processes have ended");
    }
    logs.console().flush();
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Everything that can fail before a process runs.
async fn prepare(args: &Args, home: &Home, topology: &Topology) -> anyhow::Result<Vec<Plan>> {
    let folder = args.bin_dir.clone().map_or_else(binaries::own_folder, Ok)?;
    let environment = Environment {
        home,
        topology,
        postgres: args.postgres.as_ref(),
        drain_timeout: args.drain_timeout,
    };
    let plans = topology
        .nodes
        .iter()
        .map(|node| Plan::new(node, &folder, &environment))
        .collect::<Result<Vec<_>, _>>()?;
    ports::check(topology)?;
    Secrets::of(home).make(topology)?;
    let broker = plans
        .iter()
        .find(|plan| plan.node.role == Role::Broker)
        .context("the mesh has no broker")?;
    nats::configure(home, &broker.node, nats::version(broker.program()).await?)?;
    if let Some(template) = &args.postgres {
        postgres::create_databases(template, topology).await?;
    }
    Ok(plans)
}

/// From the first process to a shop that can be used.
async fn begin(
    args: &Args,
    home: &Home,
    topology: &Topology,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    supervisor.ready(args.ready_timeout).await?;
    if !args.no_seed {
        let seed = Shop::new(topology.only(Role::Gateway).address);
        let secrets = Secrets::of(home);
        let seeded = tokio::select! {
            seeded = seed.seed(&secrets) => seeded,
            death = supervisor.death() => bail!("{death}"),
        };
        match seeded {
            // Whoever gave the admin a second factor has had a catalogue before.
            Err(error) if error.is::<NeedsCode>() => {}
            seeded => drop(seeded?),
        }
    }
    Ok(())
}

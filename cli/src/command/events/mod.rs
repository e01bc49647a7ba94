//! `caravan events`: what became of events, and what can be done about those that went wrong.

mod dlq;
mod mesh;
mod show;
mod status;
mod tail;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use mesh::Services;

use crate::shop::session::SecondFactor;

/// Options of `caravan events`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// Only this service, e.g. `ordering`.
    #[arg(long, global = true)]
    service: Option<String>,
    /// gRPC address of a service outside of the local mesh, e.g. `http://10.0.0.7:50051`; needs --token.
    #[arg(long, global = true, requires = "token", value_name = "URL")]
    url: Option<String>,
    /// Access token of an operator or admin; without it the local mesh's admin logs in.
    #[arg(long, global = true)]
    token: Option<String>,
    /// One JSON object a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    factor: SecondFactor,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// How far outboxes, consumers and projections are.
    Status,
    /// Prints events as they are published.
    Tail(tail::Args),
    /// Dead letters: events that a consumer could not handle.
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Hands a consumer what its publisher's archive has. What it has handled before it skips.
    Replay(verify::ReplayArgs),
    /// Compares outboxes with streams and says what is missing. Exit code 0 only when nothing is.
    Verify(verify::Args),
    /// Builds a projection anew beside the one that serves.
    Rebuild(verify::RebuildArgs),
    /// Changes which log lines a service writes, until it ends, e.g. `info,chassis=debug`.
    LogFilter(verify::LogFilterArgs),
}

/// Runs the subcommand.
///
/// # Errors
/// Where no mesh runs, a service does not answer or refuses.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let services = Services::of(args, home).await?;
    match &args.command {
        Command::Status => status::run(&services).await,
        Command::Tail(tail) => tail::run(tail, &services).await,
        Command::Dlq(command) => dlq::run(command, &services).await,
        Command::Replay(replay) => verify::replay(replay, &services).await,
        Command::Verify(verify) => verify::run(verify, &services).await,
        Command::Rebuild(rebuild) => verify::rebuild(rebuild, &services).await,
        Command::LogFilter(filter) => verify::log_filter(filter, &services).await,
    }
}

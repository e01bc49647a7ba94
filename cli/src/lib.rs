//! The `caravan` command: a local mesh of real processes, started, watched, inspected and stopped.
//!
//! [`mesh`] holds what a mesh is (its processes, home, supervision), [`logs`] what its processes say, [`shop`] and [`saga`]
//! what is done through its gateway, [`command`] one file for each subcommand.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")
)]

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

pub mod command;
pub mod http;
pub mod logs;
pub mod mesh;
pub mod saga;
pub mod shop;

/// Runs the command that the process arguments name. A failure is one line on stderr and exit code 1.
#[must_use]
pub fn main() -> ExitCode {
    let command = command::Cli::parse();
    // One thread: the command waits for its processes and copies their lines; a pool would only cost memory.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let outcome = runtime.block_on(command.run());
    // Nothing of value is left in the background: each command has awaited what it started.
    runtime.shutdown_background();
    outcome.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // Nobody is left to be told when stderr is closed.
    let _ = writeln!(std::io::stderr(), "caravan: {error:#}");
    ExitCode::FAILURE
}

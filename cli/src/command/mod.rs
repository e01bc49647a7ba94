//! The subcommands, one file each.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod audit;
pub mod client;
pub mod detach;
pub mod down;
pub mod events;
pub mod keys;
pub mod logs;
pub mod mails;
pub mod openapi;
pub mod orders;
pub mod report;
pub mod saga;
pub mod status;
pub mod stop;
pub mod token;
pub mod up;

/// Runs and inspects a local mesh of Caravan's services.
#[derive(Debug, Parser)]
#[command(name = "caravan", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The folder that the mesh lives in: data, logs, secrets.
    #[arg(long, global = true, default_value = ".caravan", value_name = "DIR")]
    home: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts a mesh and stays with it until Ctrl-C.
    Up(up::Args),
    /// Stops the mesh, also when its `caravan up` was killed.
    Down(down::Args),
    /// Lists the processes. Exit code 0 only when all of them are ready.
    Status(status::Args),
    /// Shows what the processes said.
    Logs(logs::Args),
    /// Shows mails that are to be sent, with their tokens: to verify an address or to set a new password.
    Mails(mails::Args),
    /// Checks, registers, starts, shows and mends sagas.
    Saga(saga::Args),
    /// Prints the OpenAPI document of the REST side.
    Openapi(openapi::Args),
    /// Shows what happened to an order; makes the read model of all orders anew.
    Orders(orders::Args),
    /// Prints an access token of the demo customer, who is registered where needed.
    Token(token::Args),
    /// Makes, lists and disables service clients: systems with an id and a secret of their own.
    Client(client::Args),
    /// Lists and rotates the keys that access tokens are signed with.
    Keys(keys::Args),
    /// Shows who did what to whom, in every service.
    Audit(audit::Args),
    /// Shows what became of events, and repairs what went wrong.
    Events(events::Args),
}

impl Cli {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What went wrong, as one line.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(args) if args.detach => detach::run(&args, &self.home).await,
            Command::Up(args) => up::run(&args, &self.home).await,
            Command::Down(args) => down::run(&args, &self.home).await,
            Command::Status(args) => status::run(&args, &self.home).await,
            Command::Logs(args) => logs::run(&args, &self.home).await,
            Command::Mails(args) => mails::run(&args, &self.home).await,
            Command::Saga(args) => saga::run(&args, &self.home).await,
            Command::Openapi(args) => openapi::run(&args),
            Command::Orders(args) => orders::run(&args, &self.home).await,
            Command::Token(args) => token::run(&args, &self.home).await,
            Command::Client(args) => client::run(&args, &self.home).await,
            Command::Keys(args) => keys::run(&args, &self.home).await,
            Command::Audit(args) => audit::run(&args, &self.home).await,
            Command::Events(args) => events::run(&args, &self.home).await,
        }
    }
}

/// Writes to stdout; a reader that has gone away is no error.
fn print(text: &[u8]) {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text).and_then(|()| stdout.flush());
}

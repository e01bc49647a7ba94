//! `caravan token`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::status::running;
use crate::mesh::home::Home;
use crate::mesh::secrets::Secrets;
use crate::mesh::topology::{Role, Topology};
use crate::shop::{Shop, session::SecondFactor};

/// Options of `caravan token`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The admin's token instead of the customer's.
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    factor: SecondFactor,
}

/// Prints an access token for the running mesh.
///
/// # Errors
/// Where no mesh runs or the login is refused.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let home = Home::open(home).context("start one with `caravan up`")?;
    let topology = Topology::new(running(&home)?.port_base)?;
    let shop = Shop::new(topology.only(Role::Gateway).address);
    let secrets = Secrets::of(&home);
    let token = if args.admin {
        shop.admin_token(&secrets, Some(&args.factor)).await?
    } else {
        shop.customer_token(&secrets).await?
    };
    super::print(format!("{token}\n").as_bytes());
    Ok(ExitCode::SUCCESS)
}

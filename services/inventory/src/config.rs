//! Everything that the environment says; nothing else reads it.

use std::time::Duration;

use chassis::config::Common;

/// The inventory service's configuration.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    /// What every service of the mesh is told.
    #[command(flatten)]
    pub common: Common,

    /// How long an order's hold on stock lasts; longer than a checkout takes when all goes slowly.
    #[arg(long, env = "HOLD_TTL", default_value = "15min", value_parser = humantime::parse_duration)]
    pub hold_ttl: Duration,

    /// Pause between two looks for holds whose time is over.
    #[arg(long, env = "EXPIRY_INTERVAL", default_value = "5s", value_parser = humantime::parse_duration)]
    pub expiry_interval: Duration,
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

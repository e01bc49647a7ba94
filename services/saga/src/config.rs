//! Everything that the environment says; nothing else reads it.

use std::time::Duration;

use chassis::config::Common;

/// The saga service's configuration.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    /// What every service of the mesh is told.
    #[command(flatten)]
    pub common: Common,

    /// Time after which another orchestrator takes over the sagas of one that is silent.
    #[arg(long, env = "SAGA_LEASE", default_value = "8s", value_parser = humantime::parse_duration)]
    pub lease: Duration,

    /// Most sagas that this process works on at a time; the others wait in the database.
    #[arg(long, env = "SAGA_CONCURRENCY", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub concurrency: u32,

    /// Time after its end for which a saga keeps its input, replies and signals; then only what happened stays.
    #[arg(long, env = "SAGA_DATA_RETENTION", default_value = "1d", value_parser = humantime::parse_duration)]
    pub data_retention: Duration,

    /// Time after its end for which a saga is kept at all; then its key may be used again.
    #[arg(long, env = "SAGA_RETENTION", default_value = "30d", value_parser = humantime::parse_duration)]
    pub retention: Duration,
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

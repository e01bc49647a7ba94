//! Everything that the environment says; nothing else reads it.

use chassis::config::Common;

/// The ordering service's configuration.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    /// What every service of the mesh is told.
    #[command(flatten)]
    pub common: Common,
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

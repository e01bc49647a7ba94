//! Everything that the environment says; nothing else reads it.

use std::{path::PathBuf, time::Duration};

use chassis::config::{Common, secret, secret_value};
use secrecy::SecretString;

use crate::service_clients::ServiceClients;

/// The identity service's configuration.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    /// What every service of the mesh is told.
    #[command(flatten)]
    pub common: Common,

    /// How long an access token is good: as long as a session that was ended still opens doors.
    #[arg(long, env = "TOKEN_LIFETIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub token_lifetime: Duration,

    /// The services that may ask for a token: a JSON object of names and secrets. Unset: none may.
    #[arg(long, env = "SERVICE_CLIENTS_FILE")]
    pub service_clients_file: Option<PathBuf>,

    /// Address of the admin account that is made where it does not exist yet.
    #[arg(long, env = "BOOTSTRAP_ADMIN_EMAIL")]
    pub bootstrap_admin_email: Option<String>,

    /// Password of that account.
    #[arg(long, env = "BOOTSTRAP_ADMIN_PASSWORD", hide_env_values = true, value_parser = secret_value)]
    pub bootstrap_admin_password: Option<SecretString>,

    /// File that holds BOOTSTRAP_ADMIN_PASSWORD.
    #[arg(long, env = "BOOTSTRAP_ADMIN_PASSWORD_FILE")]
    pub bootstrap_admin_password_file: Option<PathBuf>,

    /// Passwords that are hashed at a time; each takes a processor and 19 MiB. Below the chassis' 8 threads for work that blocks.
    #[arg(long, env = "HASHES_AT_ONCE", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=6))]
    pub hashes_at_once: u16,
}

impl Config {
    /// The services of SERVICE_CLIENTS_FILE.
    ///
    /// # Errors
    /// The file cannot be read or is no JSON object of texts.
    pub fn service_clients(&self) -> anyhow::Result<ServiceClients> {
        self.service_clients_file
            .as_deref()
            .map_or_else(|| Ok(ServiceClients::default()), ServiceClients::read)
    }

    /// BOOTSTRAP_ADMIN_PASSWORD, or what BOOTSTRAP_ADMIN_PASSWORD_FILE holds.
    ///
    /// # Errors
    /// Both are set, or the file cannot be read.
    pub fn bootstrap_admin_password(&self) -> anyhow::Result<Option<SecretString>> {
        secret(
            "BOOTSTRAP_ADMIN_PASSWORD",
            self.bootstrap_admin_password.as_ref(),
            self.bootstrap_admin_password_file.as_ref(),
        )
    }
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

//! What the environment may set; nothing else reads it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use secrecy::{ExposeSecret, SecretString};

/// Settings of the sandbox.
#[derive(Clone, Debug, Parser)]
#[command(name = "payment-sandbox", version, about)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, env = "LISTEN_ADDR", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
    pub listen_addr: SocketAddr,

    /// Folder of the ledger's SQLite file.
    #[arg(long, env = "DATA_DIR", default_value = ".")]
    pub data_dir: PathBuf,

    /// File that holds the secret key (`sk_test_...`) that callers must present.
    #[arg(long, env = "PROVIDER_KEY_FILE")]
    pub provider_key_file: Option<PathBuf>,

    /// The secret key itself, where no file is given.
    #[arg(long, env = "PROVIDER_KEY", hide_env_values = true)]
    pub provider_key: Option<SecretString>,

    /// Shape of the log lines; JSON where stdout is no terminal.
    #[arg(long, env = "LOG_FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Longest wait between SIGTERM and exit.
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "25s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,
}

/// Shape of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Config {
    /// The key that callers must present.
    ///
    /// # Errors
    /// Where none is configured, the file cannot be read, or it is no test key.
    pub fn key(&self) -> anyhow::Result<SecretString> {
        let key = match (&self.provider_key_file, &self.provider_key) {
            (Some(file), _) => std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the key file {}", file.display()))?
                .trim()
                .into(),
            (None, Some(key)) => key.clone(),
            (None, None) => anyhow::bail!("no key: set PROVIDER_KEY_FILE or PROVIDER_KEY"),
        };
        // A live key here would mean that somebody is about to mistake the sandbox for the provider.
        ensure!(
            key.expose_secret().starts_with("sk_test_"),
            "the key must start with sk_test_"
        );
        Ok(key)
    }

    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.data_dir.join("payment-sandbox.db")
    }
}

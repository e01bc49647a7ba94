//! Everything that the environment says; nothing else reads it.

use std::path::PathBuf;

use anyhow::Context as _;
use chassis::config::Common;
use reqwest::Url;
use secrecy::SecretString;

/// The payment service's configuration.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    /// What every service of the mesh is told.
    #[command(flatten)]
    pub common: Common,

    /// Base URL of the provider's API: Stripe's, or the sandbox's.
    #[arg(long, env = "PROVIDER_URL", default_value = "https://api.stripe.com/")]
    pub provider_url: Url,

    /// The provider's secret key.
    #[arg(long, env = "PROVIDER_KEY", hide_env_values = true)]
    pub provider_key: Option<SecretString>,

    /// A file that holds the provider's secret key.
    #[arg(long, env = "PROVIDER_KEY_FILE", conflicts_with = "provider_key")]
    pub provider_key_file: Option<PathBuf>,
}

impl Config {
    /// The provider's secret key, from wherever it was given.
    ///
    /// # Errors
    /// It was not given, or its file cannot be read.
    pub fn key(&self) -> anyhow::Result<SecretString> {
        if let Some(key) = &self.provider_key {
            return Ok(key.clone());
        }
        let file = self
            .provider_key_file
            .as_ref()
            .context("PROVIDER_KEY or PROVIDER_KEY_FILE must be set")?;
        let key = std::fs::read_to_string(file)
            .with_context(|| format!("PROVIDER_KEY_FILE: cannot read {}", file.display()))?;
        Ok(SecretString::from(key.trim().to_owned()))
    }
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

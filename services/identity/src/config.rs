//! Everything that the environment says; nothing else reads it.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use chassis::config::{Common, secret, secret_value};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::transport::Uri;

use crate::{
    second_factor::seal::Seal,
    service_clients::ServiceClients,
    tokens::{MIN_AHEAD, Rules},
};

/// Fewer characters could be guessed.
const MIN_KEY_CHARS: usize = 32;

/// The identity service's configuration.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    /// What every service of the mesh is told.
    #[command(flatten)]
    pub common: Common,

    /// How long an access token is good: as long as a session that was ended still opens doors.
    #[arg(long, env = "TOKEN_LIFETIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub token_lifetime: Duration,

    /// How long a key signs tokens before a new one is made.
    #[arg(long, env = "SIGNING_KEY_MAX_AGE", default_value = "90d", value_parser = humantime::parse_duration)]
    pub signing_key_max_age: Duration,

    /// How long a new key is published before it signs, so that whoever checks tokens has seen it; at least 10 s.
    #[arg(long, env = "SIGNING_KEY_PUBLISH_AHEAD", default_value = "10m", value_parser = humantime::parse_duration)]
    pub signing_key_publish_ahead: Duration,

    /// Where clients reach the gateway, e.g. `https://shop.example.com`; it stands in /.well-known/openid-configuration.
    /// Unset: TOKEN_ISSUER, where that is a URL.
    #[arg(long, env = "PUBLIC_URL")]
    pub public_url: Option<Uri>,

    /// The services of the mesh that may ask for a token: a JSON object of names and secrets. Unset: none may.
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

    /// Seals the secrets of second factors in the database; at least 32 characters that nobody can guess. Without it they are
    /// kept as they are; those that another one sealed cannot be opened.
    #[arg(long, env = "SECOND_FACTOR_KEY", hide_env_values = true, value_parser = secret_value)]
    pub second_factor_key: Option<SecretString>,

    /// File that holds SECOND_FACTOR_KEY.
    #[arg(long, env = "SECOND_FACTOR_KEY_FILE")]
    pub second_factor_key_file: Option<PathBuf>,

    /// Passwords that are hashed at a time; each takes a processor and 19 MiB. Below the chassis' 8 threads for work that blocks.
    #[arg(long, env = "HASHES_AT_ONCE", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=6))]
    pub hashes_at_once: u16,
}

impl Config {
    /// How tokens are made and keys are followed by others.
    ///
    /// # Errors
    /// A new key would sign before everybody has seen it, or after the next one was made.
    pub fn token_rules(&self) -> anyhow::Result<Rules> {
        let (age, ahead) = (self.signing_key_max_age, self.signing_key_publish_ahead);
        ensure!(
            ahead >= MIN_AHEAD,
            "SIGNING_KEY_PUBLISH_AHEAD must be at least {} s",
            MIN_AHEAD.as_secs()
        );
        ensure!(
            age > ahead,
            "SIGNING_KEY_MAX_AGE must be longer than SIGNING_KEY_PUBLISH_AHEAD"
        );
        Ok(Rules {
            issuer: self.common.token_issuer.clone(),
            lifetime: self.token_lifetime,
            key_max_age: age,
            key_ahead: ahead,
        })
    }

    /// Where clients reach the gateway; `None` where nobody says.
    pub fn public_url(&self) -> Option<String> {
        let issuer = &self.common.token_issuer;
        let is_url = issuer.starts_with("https://") || issuer.starts_with("http://");
        let own = is_url.then(|| issuer.clone());
        self.public_url.as_ref().map(Uri::to_string).or(own)
    }

    /// The services of SERVICE_CLIENTS_FILE.
    ///
    /// # Errors
    /// The file cannot be read or is no JSON object of texts.
    pub fn service_clients(&self) -> anyhow::Result<ServiceClients> {
        self.service_clients_file
            .as_deref()
            .map_or_else(|| Ok(ServiceClients::default()), ServiceClients::read)
    }

    /// What seals the secrets of second factors.
    ///
    /// # Errors
    /// SECOND_FACTOR_KEY is set twice, cannot be read, or is too short.
    pub fn seal(&self) -> anyhow::Result<Seal> {
        let key = secret(
            "SECOND_FACTOR_KEY",
            self.second_factor_key.as_ref(),
            self.second_factor_key_file.as_ref(),
        )?;
        let chars = |key: &SecretString| key.expose_secret().chars().count();
        ensure!(
            key.as_ref().is_none_or(|key| chars(key) >= MIN_KEY_CHARS),
            "SECOND_FACTOR_KEY must have at least {MIN_KEY_CHARS} characters"
        );
        Ok(Seal::new(key.as_ref())?)
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

//! What every service process reads from its environment, in one struct. Nothing else reads the environment.

use std::{
    collections::BTreeMap, fs, net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use http::Uri;
use secrecy::SecretString;

use crate::{
    network::Network,
    server::{Bounds, Limits},
    tls::{self, ServiceIds},
};

/// Longest secret file that is read, in bytes.
const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;

/// The settings that every service has. Flatten it into the service's own config:
///
/// ```
/// #[derive(clap::Parser)]
/// struct Config {
///     #[command(flatten)]
///     common: chassis::config::Common,
/// }
///
/// impl AsRef<chassis::config::Common> for Config {
///     fn as_ref(&self) -> &chassis::config::Common {
///         &self.common
///     }
/// }
/// ```
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// Address of the gRPC server; port 0 takes a free one.
    #[arg(long, env = "GRPC_ADDR", default_value = "127.0.0.1:0")]
    pub grpc_addr: SocketAddr,

    /// Address of /livez, /readyz and /metrics; port 0 takes a free one.
    #[arg(long, env = "ADMIN_ADDR", default_value = "127.0.0.1:0")]
    pub admin_addr: SocketAddr,

    /// `sqlite:PATH` or `postgres://...`; unset: SQLite at DATA_DIR/<service>.db.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = secret_value)]
    pub database_url: Option<SecretString>,

    /// File that holds DATABASE_URL.
    #[arg(long, env = "DATABASE_URL_FILE")]
    pub database_url_file: Option<PathBuf>,

    /// Folder of the SQLite file.
    #[arg(long, env = "DATA_DIR", default_value = ".")]
    pub data_dir: PathBuf,

    /// The NATS server that carries events.
    #[arg(
        long,
        env = "NATS_URL",
        hide_env_values = true,
        default_value = "nats://127.0.0.1:4222"
    )]
    pub nats_url: String,

    /// How long events stay in the outbox after they were sent, at least 7 days; unset: for good, so that a consumer that is
    /// added later can start from the beginning of history.
    #[arg(long, env = "EVENT_RETENTION", value_parser = humantime::parse_duration)]
    pub event_retention: Option<Duration>,

    /// Where other services are: `catalog=http://127.0.0.1:8092,identity=https://...`. With `https` both sides show certificates.
    #[arg(long, env = "UPSTREAMS", default_value = "")]
    pub upstreams: Upstreams,

    /// This service's secret at identity.
    #[arg(long, env = "CLIENT_SECRET", hide_env_values = true, value_parser = secret_value)]
    pub client_secret: Option<SecretString>,

    /// File that holds CLIENT_SECRET.
    #[arg(long, env = "CLIENT_SECRET_FILE")]
    pub client_secret_file: Option<PathBuf>,

    /// The `iss` that access tokens must have.
    #[arg(long, env = "TOKEN_ISSUER", default_value = "caravan")]
    pub token_issuer: String,

    /// Other issuers whose access tokens count (docs/security.md): a JSON list. Unset: none.
    #[arg(long, env = "OUTSIDE_ISSUERS_FILE")]
    pub outside_issuers_file: Option<PathBuf>,

    /// Who may connect, and how.
    #[command(flatten)]
    pub transport: Transport,

    /// When calls are turned away.
    #[command(flatten)]
    pub overload: Overload,

    /// Logs, traces and metrics.
    #[command(flatten)]
    pub telemetry: Telemetry,

    /// Longest time between SIGTERM and exit; below the pod's grace period of 30 s.
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "25s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,

    /// Threads that run async work.
    #[arg(long, env = "WORKER_THREADS", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub worker_threads: u16,
}

impl Common {
    /// DATABASE_URL, or what DATABASE_URL_FILE holds.
    ///
    /// # Errors
    /// Both are set, or the file cannot be read.
    pub fn database_url(&self) -> anyhow::Result<Option<SecretString>> {
        secret(
            "DATABASE_URL",
            self.database_url.as_ref(),
            self.database_url_file.as_ref(),
        )
    }

    /// CLIENT_SECRET, or what CLIENT_SECRET_FILE holds.
    ///
    /// # Errors
    /// Both are set, or the file cannot be read.
    pub fn client_secret(&self) -> anyhow::Result<Option<SecretString>> {
        secret(
            "CLIENT_SECRET",
            self.client_secret.as_ref(),
            self.client_secret_file.as_ref(),
        )
    }
}

/// Settings of connections between services.
#[derive(clap::Args, Clone, Debug)]
pub struct Transport {
    /// This process's certificate chain (PEM). With it the gRPC port speaks TLS and asks callers for theirs.
    #[arg(long, env = "TLS_CERT_FILE", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's private key (PEM).
    #[arg(long, env = "TLS_KEY_FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The authorities of the other services' certificates (PEM).
    #[arg(long, env = "TLS_CA_FILE", requires = "tls_cert")]
    pub tls_ca: Option<PathBuf>,

    /// How ids in certificates begin; the service's logical name follows.
    #[arg(
        long,
        env = "SERVICE_ID_PREFIX",
        default_value = "spiffe://cluster.local/ns/caravan/sa/"
    )]
    pub service_id_prefix: String,

    /// A sidecar stands in front of the gRPC port and tells the caller's certificate in `x-forwarded-client-cert`.
    /// Believed from loopback addresses only.
    #[arg(long, env = "TRUST_FORWARDED_CLIENT_CERT")]
    pub trust_forwarded_client_cert: bool,

    /// Most connections to the gRPC port at once; more wait.
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "4096", value_parser = positive)]
    pub max_connections: usize,

    /// Most connections from one address at once, loopback excepted; more are closed.
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", default_value = "512", value_parser = positive)]
    pub max_connections_per_address: usize,

    /// Whose `X-Forwarded-For` is believed: addresses and ranges, e.g. of gateways and sidecars. The default is every private
    /// network, since service ports are not to be reached from outside; `-` is nobody.
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        value_delimiter = ',',
        default_value = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7"
    )]
    pub trusted_proxies: Vec<Proxies>,
}

/// An entry of TRUSTED_PROXIES: a range, or `-` for none.
#[derive(Clone, Copy, Debug)]
pub struct Proxies(Option<Network>);

impl FromStr for Proxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "-" => Ok(Self(None)),
            range => range.parse().map(|range| Self(Some(range))),
        }
    }
}

impl Transport {
    /// The files of this process's certificate, where it has one.
    pub fn tls(&self) -> Option<tls::Files> {
        Some(tls::Files {
            certificate: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            authorities: self.tls_ca.clone()?,
        })
    }

    /// Whose `X-Forwarded-For` is believed.
    pub(crate) fn proxies(&self) -> Arc<[Network]> {
        let ranges = self.trusted_proxies.iter();
        ranges.filter_map(|proxies| proxies.0).collect()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            per_address: self.max_connections_per_address,
        }
    }

    /// How the sidecar names callers, where one is trusted.
    pub(crate) fn sidecar(&self) -> Option<ServiceIds> {
        self.trust_forwarded_client_cert.then(|| self.service_ids())
    }

    /// How ids in certificates name services.
    pub fn service_ids(&self) -> ServiceIds {
        ServiceIds::new(&self.service_id_prefix)
    }
}

/// Settings of the limit of each rpc, which falls while its calls take too long and rises again.
#[derive(clap::Args, Clone, Debug)]
pub struct Overload {
    /// Calls of one rpc at once that are taken however long they take; the limit never falls below.
    #[arg(long, env = "MIN_CONCURRENT_CALLS", default_value = "32", value_parser = positive)]
    pub min_concurrent_calls: usize,

    /// Most calls of one rpc at once, streams excepted; more are turned away.
    #[arg(long, env = "MAX_CONCURRENT_CALLS", default_value = "1024", value_parser = positive)]
    pub max_concurrent_calls: usize,

    /// Mean time of a call up to which an rpc does not count as overloaded.
    #[arg(long, env = "OVERLOAD_LATENCY", default_value = "1s", value_parser = humantime::parse_duration)]
    pub overload_latency: Duration,
}

impl Overload {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            floor: self.min_concurrent_calls.min(self.max_concurrent_calls),
            ceiling: self.max_concurrent_calls,
            latency: self.overload_latency,
        }
    }
}

/// For clap: a number from 1 on.
fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a whole number".into()),
    }
}

/// Settings of logs, traces and metrics; flattened into [`Common`], and usable without it.
#[derive(clap::Args, Clone, Debug)]
pub struct Telemetry {
    /// Shape of log lines; unset: text on a terminal, else JSON.
    #[arg(long, env = "LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,

    /// Which log lines are written, e.g. `info,chassis=debug`.
    #[arg(long = "log", env = "RUST_LOG", default_value = "info")]
    pub log_filter: String,

    /// OTLP collector (gRPC) that gets traces and metrics; unset: none.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

/// Shape of log lines.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Addresses of other services by logical name (the `<service>` of package `caravan.<service>.v1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstreams(BTreeMap<String, Uri>);

impl Upstreams {
    /// The address of a service.
    pub fn get(&self, logical: &str) -> Option<&Uri> {
        self.0.get(logical)
    }

    /// Every service with its address, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Uri)> {
        self.0.iter().map(|(name, uri)| (name.as_str(), uri))
    }
}

impl FromStr for Upstreams {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut upstreams = BTreeMap::new();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let Some((name, url)) = entry.split_once('=') else {
                bail!("`{entry}`: expected `name=http://host:port`");
            };
            let (name, url) = (name.trim(), url.trim());
            if name.is_empty()
                || !name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            {
                bail!("`{entry}`: `{name}` is not a service name");
            }
            let uri: Uri = url
                .parse()
                .with_context(|| format!("`{name}`: `{url}` is not a URL"))?;
            if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.authority().is_none() {
                bail!("`{name}`: `{url}` must be http://host:port or https://host:port");
            }
            if upstreams.insert(name.to_owned(), uri).is_some() {
                bail!("`{name}` is named twice");
            }
        }
        Ok(Self(upstreams))
    }
}

/// For clap: takes a secret's text; use it with `hide_env_values` so that --help does not show it.
///
/// # Errors
/// None; the signature is clap's.
pub fn secret_value(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// A secret that is given as `NAME` or in the file that `NAME_FILE` names; `None` where neither is set or it is empty.
/// White space around a file's text is dropped.
///
/// # Errors
/// Both are set, or the file is too large or cannot be read.
pub fn secret(
    name: &str,
    value: Option<&SecretString>,
    file: Option<&PathBuf>,
) -> anyhow::Result<Option<SecretString>> {
    use secrecy::ExposeSecret as _;

    let secret = match (value, file) {
        (Some(_), Some(_)) => bail!("{name} and {name}_FILE are both set: choose one"),
        (Some(value), None) => Some(value.clone()),
        (None, Some(path)) => {
            let explain = || format!("{name}_FILE: cannot read {}", path.display());
            if fs::metadata(path).with_context(explain)?.len() > MAX_SECRET_FILE_BYTES {
                bail!(
                    "{name}_FILE: {} is larger than {MAX_SECRET_FILE_BYTES} bytes",
                    path.display()
                );
            }
            Some(SecretString::from(
                fs::read_to_string(path).with_context(explain)?.trim(),
            ))
        }
        (None, None) => None,
    };
    Ok(secret.filter(|secret| !secret.expose_secret().is_empty()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[derive(Parser)]
    struct Config {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn upstreams_are_read_by_name() {
        let upstreams: Upstreams = "catalog=http://127.0.0.1:8092, identity=http://identity:80"
            .parse()
            .unwrap();
        assert_eq!(
            upstreams.get("catalog").unwrap().to_string(),
            "http://127.0.0.1:8092/"
        );
        assert_eq!(upstreams.iter().count(), 2);
        assert_eq!("".parse::<Upstreams>().unwrap(), Upstreams::default());
    }

    #[test]
    fn a_bad_upstream_is_named() {
        for (text, part) in [
            ("catalog", "expected `name=http://host:port`"),
            ("cat alog=http://a", "`cat alog` is not a service name"),
            ("catalog=127.0.0.1:80", "must be http://host:port"),
            ("catalog=ftp://a:443", "must be http://host:port"),
            ("catalog=http://a,catalog=http://b", "named twice"),
        ] {
            let error = text.parse::<Upstreams>().unwrap_err();
            assert!(format!("{error:#}").contains(part), "{text}: {error:#}");
        }
    }

    #[test]
    fn a_secret_comes_from_its_variable_or_its_file() {
        let file = std::env::temp_dir().join(format!("chassis-secret-{}", uuid::Uuid::now_v7()));
        fs::write(&file, "hush\n").unwrap();
        let given = SecretString::from("told");
        let read = |value, path| {
            secret("KEY", value, path).map(|s| s.map(|s| s.expose_secret().to_owned()))
        };
        assert_eq!(read(None, Some(&file)).unwrap().as_deref(), Some("hush"));
        assert_eq!(read(Some(&given), None).unwrap().as_deref(), Some("told"));
        assert_eq!(read(None, None).unwrap(), None);
        assert!(
            read(Some(&given), Some(&file))
                .unwrap_err()
                .to_string()
                .contains("KEY_FILE")
        );
        fs::remove_file(&file).unwrap();
        assert!(
            read(None, Some(&file))
                .unwrap_err()
                .to_string()
                .contains("cannot read")
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = Config::parse_from([
            "test",
            "--client-secret",
            "hush",
            "--database-url",
            "postgres://u:hush@h/d",
        ]);
        assert!(!format!("{:?}", config.common).contains("hush"));
        assert_eq!(
            config
                .common
                .client_secret()
                .unwrap()
                .unwrap()
                .expose_secret(),
            "hush"
        );
    }
}

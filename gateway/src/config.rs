//! What the gateway reads from its arguments and environment. Nothing else reads them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use chassis::{
    config::{Telemetry, Upstreams},
    tls,
};

use crate::{
    source::{DefaultAccess, Sources},
    tls::Files,
    upstream::{Target, is_secure},
};

/// REST/JSON in front of the mesh's gRPC services.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "gateway", version)]
pub struct Config {
    /// Address for clients; port 0 takes a free one and says so in the first line on stdout.
    #[arg(long = "listen", env = "LISTEN_ADDR", default_value = "127.0.0.1:8080")]
    pub listen_addr: SocketAddr,

    /// Address of /livez, /readyz and /metrics; port 0 takes a free one.
    #[arg(long, env = "ADMIN_ADDR", default_value = "127.0.0.1:0")]
    pub admin_addr: SocketAddr,

    /// Where services are: `catalog=http://127.0.0.1:8092,...`. The name is the `<service>` of package `caravan.<service>.v1`.
    #[arg(long, env = "UPSTREAMS", default_value = "")]
    pub upstreams: Upstreams,

    /// Where a service, a package or everything else is: `PACKAGE.SERVICE=URL`, `PACKAGE=URL` or `URL`; or `NAME=URL` for an
    /// upstream that the policies file names. Repeatable; the same name again adds an endpoint.
    #[arg(
        long = "upstream",
        env = "UPSTREAM",
        value_name = "[NAME=]URL",
        value_delimiter = ','
    )]
    pub targets: Vec<Target>,

    /// Time between two looks whether the names of upstreams have other addresses now.
    #[arg(long, env = "RESOLVE_INTERVAL", default_value = "10s", value_parser = humantime::parse_duration)]
    pub resolve_interval: Duration,

    /// Authorities of the certificates of upstreams with `https`, in PEM; read again when it changes, like the next two.
    #[arg(long, env = "UPSTREAM_TLS_CA_FILE", value_name = "FILE")]
    pub upstream_tls_ca: Option<PathBuf>,

    /// Certificate that the gateway shows to upstreams that ask for one, in PEM: services of the chassis do.
    #[arg(
        long,
        env = "UPSTREAM_TLS_CERT_FILE",
        value_name = "FILE",
        requires_all = ["upstream_tls_key", "upstream_tls_ca"]
    )]
    pub upstream_tls_cert: Option<PathBuf>,

    /// Private key of that certificate, in PEM.
    #[arg(
        long,
        env = "UPSTREAM_TLS_KEY_FILE",
        value_name = "FILE",
        requires = "upstream_tls_cert"
    )]
    pub upstream_tls_key: Option<PathBuf>,

    /// How ids in certificates of services begin; the logical name follows.
    #[arg(
        long,
        env = "SERVICE_ID_PREFIX",
        default_value = "spiffe://cluster.local/ns/caravan/sa/"
    )]
    pub service_id_prefix: String,

    /// File with the contract: an encoded `google.protobuf.FileDescriptorSet`. Repeatable; instead of the built-in contract.
    #[arg(
        long = "descriptor-set",
        env = "DESCRIPTOR_SETS",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub descriptor_sets: Vec<PathBuf>,

    /// Upstream that tells its contract by server reflection, `http[s]://host:port`; with a name it must be that service, by
    /// its certificate. It also serves it, where no `--upstream`
    /// says otherwise. Repeatable; instead of the built-in contract.
    #[arg(
        long,
        env = "REFLECTION",
        value_name = "[NAME=]URL",
        value_delimiter = ','
    )]
    pub reflection: Vec<Target>,

    /// Time between two looks at descriptor sets and reflection.
    #[arg(long, env = "RELOAD_INTERVAL", default_value = "2s", value_parser = humantime::parse_duration)]
    pub reload_interval: Duration,

    /// Who may call an rpc whose contract does not say.
    #[arg(long, env = "DEFAULT_ACCESS", value_enum, default_value = "deny")]
    pub default_access: DefaultAccess,

    /// Certificate for TLS towards clients, in PEM, with what stands between it and its authority; read again when it changes.
    #[arg(long, env = "TLS_CERT_FILE", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate, in PEM.
    #[arg(long, env = "TLS_KEY_FILE", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Step over unknown JSON fields and query parameters instead of refusing them.
    #[arg(long, env = "IGNORE_UNKNOWN_FIELDS")]
    pub ignore_unknown_fields: bool,

    /// What operators say about policies by route (docs/gateway.md), or `off` for none at all. Unset: what the contract says.
    #[arg(long, env = "POLICIES", value_name = "FILE|off")]
    pub policies: Option<String>,

    /// The `iss` that access tokens must have.
    #[arg(long, env = "TOKEN_ISSUER", default_value = "caravan")]
    pub token_issuer: String,

    /// Other issuers whose access tokens count (docs/security.md): a JSON list. Unset: none.
    #[arg(long, env = "OUTSIDE_ISSUERS_FILE", value_name = "FILE")]
    pub outside_issuers_file: Option<PathBuf>,

    /// Logs, traces and metrics.
    #[command(flatten)]
    pub telemetry: Telemetry,

    /// Longest time between SIGTERM and exit; below the pod's grace period of 30 s.
    #[arg(long, env = "DRAIN_TIMEOUT", default_value = "25s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,

    /// Threads that serve, each with connections of its own to upstreams.
    #[arg(long, env = "WORKER_THREADS", default_value = "2", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub worker_threads: u16,
}

impl Config {
    /// Where contracts come from.
    ///
    /// # Errors
    /// One comes over TLS, but nothing says whom to trust.
    pub fn sources(&self, tls: Option<Arc<tls::Client>>) -> anyhow::Result<Sources> {
        let mut all = self.reflection.iter().map(|target| &target.uri);
        if let Some(uri) = all.find(|uri| is_secure(uri) && tls.is_none()) {
            anyhow::bail!("{uri}: TLS needs --upstream-tls-ca");
        }
        Ok(Sources {
            files: self.descriptor_sets.clone(),
            reflection: self.reflection.clone(),
            default_access: self.default_access,
            tls,
        })
    }

    /// Whom among upstreams to trust, and what to show them.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn upstream_tls(&self) -> anyhow::Result<Option<tls::Client>> {
        let Some(authorities) = self.upstream_tls_ca.clone() else {
            return Ok(None);
        };
        let certificate = self.upstream_tls_cert.clone();
        let files = tls::ClientFiles {
            authorities,
            identity: certificate.zip(self.upstream_tls_key.clone()),
        };
        let ids = tls::ServiceIds::new(&self.service_id_prefix);
        tls::Client::load(files, ids).map(Some)
    }

    /// The files of TLS towards clients, where there is to be TLS.
    pub fn tls(&self) -> Option<Files> {
        Some(Files {
            certificate: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_option_is_in_the_table_of_the_manual() {
        let manual = include_str!("../../docs/gateway.md");
        let table: Vec<_> = manual
            .lines()
            .filter(|line| line.starts_with("| `--"))
            .collect();
        for argument in Config::command().get_arguments() {
            let Some(long) = argument.get_long() else {
                continue;
            };
            let variable = argument.get_env().expect("each can be set by a variable");
            let variable = variable.to_str().expect("ASCII");
            let is_there = table.iter().any(|line| {
                let has = |word: &str| line.contains(&format!("`{word}"));
                has(&format!("--{long}")) && has(variable)
            });
            assert!(is_there, "--{long} ({variable}) is not in docs/gateway.md");
        }
    }
}

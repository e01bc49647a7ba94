//! What the gateway reads from its arguments and environment. Nothing else reads them.

use std::{net::SocketAddr, time::Duration};

use chassis::config::{Telemetry, Upstreams};

use crate::upstream::Target;

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

    /// Where a service, a package or everything else is: `PACKAGE.SERVICE=URL`, `PACKAGE=URL` or `URL`. Repeatable; the same
    /// name again adds an endpoint.
    #[arg(
        long = "upstream",
        env = "UPSTREAM",
        value_name = "[NAME=]URL",
        value_delimiter = ','
    )]
    pub targets: Vec<Target>,

    /// Step over unknown JSON fields and query parameters instead of refusing them.
    #[arg(long, env = "IGNORE_UNKNOWN_FIELDS")]
    pub ignore_unknown_fields: bool,

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

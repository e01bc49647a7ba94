//! Measures the gateway beside Envoy and beside a proxy that only forwards bytes: same backend, same load, same core.

mod backend;
mod contract;
mod floor;
mod load;
mod proxy;
mod report;

use std::{io::Write as _, path::PathBuf, process::Command};

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser as _;
use contract::Contract;
use load::Ask;
use proxy::Process;
use report::{Report, Seen};

#[derive(clap::Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Rounds; the tables have medians.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Small requests in one measurement; the others have their own counts.
    #[arg(long, default_value_t = 40_000)]
    requests: usize,
    /// Measure only loads whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Measure only proxies whose name contains this.
    #[arg(long, default_value = "")]
    proxy: String,
    /// The gateway's program.
    #[arg(long, default_value = "target/dist/gateway")]
    gateway: PathBuf,
    /// Envoy's program; without it nothing is compared with Envoy.
    #[arg(long)]
    envoy: Option<PathBuf>,
}

/// Parts of a measurement that are processes of their own.
#[derive(clap::Subcommand)]
enum Part {
    /// The service behind proxies.
    Backend,
    /// The proxy that only forwards bytes.
    Floor {
        /// Port of the backend.
        backend: u16,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Backend) => backend::serve().await,
        Some(Part::Floor { backend }) => floor::serve(backend).await,
        None => measure(&arguments).await,
    }
}

/// The result, for whoever asked.
fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Tells the port to who started this process.
fn say_port(port: u16) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening http://127.0.0.1:{port}")?;
    Ok(stdout.flush()?)
}

/// Whether proxies can have a core for themselves. The load's own pinning hides that from `available_parallelism`.
fn has_two_cores() -> bool {
    std::path::Path::new("/sys/devices/system/cpu/cpu1").exists()
}

async fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let descriptors = folder.path().join("bench.binpb");
    Contract::compile()?.write(&descriptors)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("backend");
    let backend = Process::start(command).context("backend")?;

    let policies = folder.path().join("policies.yaml");
    std::fs::write(&policies, RATES)?;
    let policies = policies.display().to_string();
    let gateway = |options: &[&str]| {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        proxy::gateway(&arguments.gateway, &descriptors, backend.port, &options)
    };
    let wanted = |name: &str| name.contains(&arguments.proxy);
    let mut proxies = Vec::new();
    if wanted(report::FLOOR) {
        proxies.push((report::FLOOR, proxy::floor(backend.port).context("floor")?));
    }
    if wanted(report::GATEWAY) {
        proxies.push((
            report::GATEWAY,
            gateway(&["--policies", "off"]).context("gateway")?,
        ));
    }
    if wanted(report::GATEWAY_ALL) {
        proxies.push((
            report::GATEWAY_ALL,
            gateway(&["--policies", &policies]).context("gateway")?,
        ));
    }
    match &arguments.envoy {
        Some(program) if wanted(report::ENVOY) => {
            let envoy = proxy::envoy(program, &descriptors, folder.path(), backend.port);
            proxies.push((report::ENVOY, envoy.context("Envoy")?));
        }
        Some(_) => {}
        None => say("Envoy is not to be had here, so nothing is compared with it.\n")?,
    }

    let mut report = Report::default();
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for load in loads(arguments.requests) {
            let name = load.name();
            for (proxy, process) in &proxies {
                let understands = *proxy != report::FLOOR || load.fits_floor;
                if understands && name.contains(&arguments.only) {
                    let seen = once(process, &load).await;
                    let seen = seen.with_context(|| format!("{proxy}: {name}"))?;
                    report.add(&name, proxy, seen);
                }
            }
        }
    }
    say(&report.print())
}

/// All that is on where nobody says anything, at rates that let the load through.
const RATES: &str = "rates:\n  read: 1000000/s\n  write: 1000000/s\n";

/// One kind of request at one number of connections.
struct Load {
    ask: Ask,
    connections: usize,
    requests: usize,
    /// Messages of one answer: costs are told for 100,000 of them.
    messages: u64,
    /// Whether the forwarding proxy's constant answer is a fair comparison.
    fits_floor: bool,
}

impl Load {
    fn name(&self) -> String {
        match self.connections {
            1 => format!("{}, 1 connection", self.ask.name),
            many => format!("{}, {many} connections", self.ask.name),
        }
    }
}

fn loads(requests: usize) -> Vec<Load> {
    let get = |name, target: &str, least_bytes| Ask {
        name,
        request: format!(
            "GET {target} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n"
        )
        .into(),
        least_bytes,
    };
    let body = contract::order_json();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let post = Ask {
        name: "POST",
        request: Bytes::from([head.as_bytes(), &body[..]].concat()),
        least_bytes: 50,
    };
    let small = [get("GET", "/v1/shelves/tea/items?pageSize=20", 900), post];
    let mut loads = Vec::new();
    for ask in small {
        for connections in [1, 32, 128] {
            loads.push(Load {
                ask: ask.clone(),
                connections,
                requests: if connections == 1 {
                    requests / 4
                } else {
                    requests
                },
                messages: 1,
                fits_floor: true,
            });
        }
    }
    for (ask, connections, requests, messages) in [
        (
            get("GET of 1 MiB", "/v1/archive", 1_000_000),
            4,
            requests / 200,
            1,
        ),
        (
            get("stream of 100,000", "/v1/ticks", 3_000_000),
            1,
            1,
            contract::TICKS,
        ),
    ] {
        loads.push(Load {
            ask,
            connections,
            requests,
            messages,
            fits_floor: false,
        });
    }
    loads
}

async fn once(proxy: &Process, load: &Load) -> anyhow::Result<Seen> {
    let warm_up = (load.requests / 20).max(1);
    load::run(proxy.port, &load.ask, load.connections, warm_up).await?;
    let before = proxy.cpu_seconds()?;
    let mut outcome = load::run(proxy.port, &load.ask, load.connections, load.requests).await?;
    let requests = outcome.times.len() as f64;
    Ok(Seen {
        cpu_s: (proxy.cpu_seconds()? - before) / (requests * load.messages as f64) * 100_000.0,
        rate: requests / outcome.elapsed.as_secs_f64(),
        p50_ms: outcome.quantile(0.5).as_secs_f64() * 1e3,
        p99_ms: outcome.quantile(0.99).as_secs_f64() * 1e3,
        first_ms: outcome.first_byte.as_secs_f64() * 1e3,
        resident_mib: proxy.resident_mib()?,
    })
}

//! From `main` to exit code.

use std::{
    io::Write as _,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chassis::{
    admin,
    auth::{OutsideIssuer, Verifier},
    drain_on_signal,
    readiness::Readiness,
    telemetry,
};
use clap::Parser as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api,
    config::Config,
    gateway::Gateway,
    policy::{Policies, Settings, UpstreamKeys},
    server,
    source::{self, Contract, Sources, Watch},
    tls::Tls,
    upstream::Directory,
    worker,
};

/// Exit code for settings that cannot be used.
const EXIT_CONFIG: u8 = 2;
/// Who signs tokens.
const IDENTITY: &str = "caravan.identity.v1.IdentityService";
/// Longest wait for threads that still block when all is done.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);

/// Runs the gateway until SIGTERM or SIGINT, then drains.
///
/// Exit codes: 0 after a drain, 1 where it failed, 2 where the config cannot be used (told on stderr).
pub fn run() -> ExitCode {
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) => {
            // Help goes to stdout with code 0, errors to stderr with code 2. Nobody reads it if that fails.
            let _ = error.print();
            return u8::try_from(error.exit_code())
                .unwrap_or(EXIT_CONFIG)
                .into();
        }
    };
    // For all but requests: sources, keys, certificates, probes.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime.context("no runtime").and_then(|runtime| {
        let outcome = runtime.block_on(serve(config));
        runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
        outcome
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            EXIT_CONFIG.into()
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(config.policies.as_deref())?;
    let tls = config.tls().map(Tls::load).transpose()?.map(Arc::new);
    let listener = bind(config.listen_addr).await?;
    let admin_listener = bind(config.admin_addr).await?;
    let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
    if config.listen_addr.port() == 0 {
        tell(address, tls.is_some())?;
    }
    let telemetry = telemetry::init("gateway", &config.telemetry)?;
    let drain = CancellationToken::new();
    drain_on_signal(drain.clone()).context("signals cannot be handled")?;

    let workers = usize::from(config.worker_threads);
    // This thread calls upstreams too, to ask for keys: over connections that no worker waits for.
    worker::become_worker(workers);
    let upstream_tls = config.upstream_tls()?.map(Arc::new);
    let directory = Directory::new(&config.targets, &config.upstreams, workers + 1);
    let directory = Arc::new(directory.secured(upstream_tls.clone())?);
    let sources = config.sources(upstream_tls.clone())?;
    let verifier = verifier(&config, &directory)?;
    let policies = Policies::new(settings, verifier.clone()).beside(&directory)?;
    let policies = Arc::new(policies);
    let background = Background {
        verifier,
        tls: tls.clone(),
        upstream_tls,
        directory: directory.clone(),
        resolve_interval: config.resolve_interval,
    };
    background.start(&drain);
    let (gateway, served) = contract(&config, sources, directory, policies, &drain).await?;

    let report = Readiness::new()
        .when("contract", move || {
            let served = served.load(Ordering::Acquire);
            async move { served.then_some(()).ok_or("not read yet") }
        })
        .watch(drain.clone());
    let metrics = Some(telemetry.metrics());
    let admin = tokio::spawn(admin::serve(admin_listener, report, metrics));
    tracing::info!(http = %address, admin = %admin_address, workers, "serving");
    let listener = Arc::new(listener.into_std()?);
    let drained = worker::run(workers, move || {
        let listener = listener.try_clone().and_then(TcpListener::from_std);
        let (tls, gateway, drain) = (tls.clone(), gateway.clone(), drain.clone());
        async move { Ok(server::serve(listener?, tls, gateway, drain, config.drain_timeout).await) }
    });
    let drained = drained.await.context("workers cannot run")?;
    admin.abort();
    if drained {
        tracing::info!("stopped");
    } else {
        tracing::error!("requests did not end within the drain timeout");
    }
    telemetry.shutdown();
    Ok(if drained {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says on stdout where the gateway listens, before any log line: whoever asked for a free port reads this first.
fn tell(address: SocketAddr, is_secure: bool) -> anyhow::Result<()> {
    let scheme = if is_secure { "https" } else { "http" };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening {scheme}://{address}")?;
    stdout.flush()?;
    Ok(())
}

/// What goes on beside requests, until the drain: keys, certificates and addresses are kept fresh.
struct Background {
    verifier: Option<Verifier>,
    tls: Option<Arc<Tls>>,
    upstream_tls: Option<Arc<chassis::tls::Client>>,
    directory: Arc<Directory>,
    resolve_interval: Duration,
}

impl Background {
    fn start(self, drain: &CancellationToken) {
        if let Some(verifier) = self.verifier {
            let drain = drain.clone();
            tokio::spawn(async move { verifier.keep_fresh(drain).await });
        }
        if let Some(tls) = self.tls {
            let drain = drain.clone();
            tokio::spawn(async move { tls.keep_fresh(drain).await });
        }
        if let Some(tls) = self.upstream_tls {
            let drain = drain.clone();
            tokio::spawn(async move { tls.keep_fresh(drain).await });
        }
        let (directory, interval) = (self.directory, self.resolve_interval);
        let drain = drain.clone();
        tokio::spawn(async move { directory.keep_resolved(interval, drain).await });
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}"))
}

/// The gateway with the contract that it begins with, and whether that is all of it: an upstream that does not tell its
/// contract yet keeps the gateway from being ready, not from starting.
async fn contract(
    config: &Config,
    sources: Sources,
    directory: Arc<Directory>,
    policies: Arc<Policies>,
    drain: &CancellationToken,
) -> anyhow::Result<(Arc<Gateway>, Arc<AtomicBool>)> {
    let start = Instant::now();
    let read = sources.read().await;
    let is_served = Arc::new(AtomicBool::new(read.is_ok()));
    let contract = match read {
        Err(error) if !sources.reflection.is_empty() => {
            tracing::warn!(error = &*error, "no contract yet");
            Contract::empty()
        }
        read => read?,
    };
    let api = Api::compile(&contract, &directory, &policies)?;
    if is_served.load(Ordering::Acquire) {
        policies.check(api.subjects())?;
    }
    let routes = api.rest().bindings().len();
    let compile_ms = start.elapsed().as_millis() as u64;
    tracing::info!(routes, compile_ms, "contract compiled");
    source::record_routes(routes);
    let lenient = config.ignore_unknown_fields;
    let gateway = Gateway::new(api, policies, lenient, drain.clone());
    let is_traced = config.telemetry.otlp_endpoint.as_ref();
    let is_traced = is_traced.is_some_and(|endpoint| !endpoint.is_empty());
    let is_secure = config.tls_cert.is_some();
    let gateway = Arc::new(gateway.traced(is_traced).secured(is_secure));
    if !sources.is_built_in() {
        let watch = Watch {
            sources,
            directory,
            interval: config.reload_interval,
            is_served: is_served.clone(),
        };
        tokio::spawn(source::watch(watch, gateway.clone(), drain.clone()));
    }
    Ok((gateway, is_served))
}

/// Checks tokens by the keys of the identity service, where it is known by its name: whatever answers at the default
/// upstream is no authority; and those of other issuers by theirs.
fn verifier(config: &Config, directory: &Directory) -> anyhow::Result<Option<Verifier>> {
    let own = &config.token_issuer;
    let outside = OutsideIssuer::read(config.outside_issuers_file.as_deref(), own)?;
    let service = contracts::DESCRIPTOR_POOL.get_service_by_name(IDENTITY);
    let upstream = service.and_then(|service| directory.find(&service, None));
    let Some(upstream) = upstream.filter(|upstream| upstream.name() != Directory::DEFAULT) else {
        return Ok(None);
    };
    Verifier::with_outside(own, UpstreamKeys::new(upstream), outside).map(Some)
}

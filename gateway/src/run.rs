//! From `main` to exit code.

use std::{
    io::Write as _,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chassis::{admin, drain_on_signal, readiness::Readiness, telemetry};
use clap::Parser as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    api::Api, config::Config, gateway::Gateway, policy::Policies, server, source::Contract,
    upstream::Directory,
};

/// Exit code for settings that cannot be used.
const EXIT_CONFIG: u8 = 2;
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads.into())
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
    let bind = |address| async move {
        let listener = TcpListener::bind(address).await;
        listener.with_context(|| format!("cannot listen on {address}"))
    };
    let listener = bind(config.listen_addr).await?;
    let admin_listener = bind(config.admin_addr).await?;
    let (address, admin_address) = (listener.local_addr()?, admin_listener.local_addr()?);
    if config.listen_addr.port() == 0 {
        // Before any log line: whoever asked for a free port reads this first.
        let mut stdout = std::io::stdout();
        writeln!(stdout, "listening http://{address}")?;
        stdout.flush()?;
    }
    let telemetry = telemetry::init("gateway", &config.telemetry)?;
    let drain = CancellationToken::new();
    drain_on_signal(drain.clone()).context("signals cannot be handled")?;

    let start = Instant::now();
    let policies = Arc::new(Policies::default());
    let directory = Directory::new(
        &config.targets,
        &config.upstreams,
        config.worker_threads.into(),
    );
    let api = Api::compile(&Contract::built_in(), &directory, &policies)?;
    let routes = api.rest().bindings().len();
    let gateway = Arc::new(Gateway::new(
        api,
        policies,
        config.ignore_unknown_fields,
        drain.clone(),
    ));
    let compile_ms = start.elapsed().as_millis() as u64;

    let report = Readiness::new().watch(drain.clone());
    let admin = tokio::spawn(admin::serve(
        admin_listener,
        report,
        Some(telemetry.metrics()),
    ));
    tracing::info!(http = %address, admin = %admin_address, routes, compile_ms, "serving");
    let drained = server::serve(listener, gateway, drain, config.drain_timeout).await;
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

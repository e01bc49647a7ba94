//! From `main` to exit code.

use std::{future::Future, process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{config::Common, kit::Kit, telemetry};

/// Threads for work that blocks (names, files, password hashes).
const MAX_BLOCKING_THREADS: usize = 8;
/// How long an idle one of them is kept.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Time beyond the drain timeout before the process goes whatever is left.
const DRAIN_MARGIN: Duration = Duration::from_secs(2);
/// Longest wait for threads that still block when all is done.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(1);
/// Exit code for settings that cannot be used.
const EXIT_CONFIG: u8 = 2;

/// Runs a service: reads its config from arguments and environment, sets up telemetry and a runtime, and runs `body` until
/// it ends. SIGTERM and SIGINT drain; a second one ends the process at once.
///
/// Exit codes: 0 after a drain, 1 where `body` failed (logged once), 2 where the config cannot be used (told on stderr).
pub fn run<C, F, Fut>(name: &str, body: F) -> ExitCode
where
    C: clap::Parser + AsRef<Common>,
    F: FnOnce(C, Kit) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let config = match C::try_parse() {
        Ok(config) => config,
        Err(error) => {
            // Help goes to stdout with code 0, errors to stderr with code 2. Nobody reads it if that fails.
            let _ = error.print();
            return u8::try_from(error.exit_code())
                .unwrap_or(EXIT_CONFIG)
                .into();
        }
    };
    let common = config.as_ref().clone();
    // One TLS stack for everything; a second installation (tests) keeps the first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match start(name, &common) {
        Ok((runtime, telemetry, kit)) => {
            let outcome = runtime.block_on(watched(
                kit.clone(),
                common.drain_timeout,
                body(config, kit),
            ));
            let code = match outcome {
                Ok(()) => {
                    tracing::info!("stopped");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "stopped by an error");
                    ExitCode::FAILURE
                }
            };
            telemetry.shutdown();
            runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
            code
        }
        Err(error) => {
            eprintln!("{name}: {error:#}");
            EXIT_CONFIG.into()
        }
    }
}

fn start(name: &str, common: &Common) -> anyhow::Result<(Runtime, telemetry::Guard, Kit)> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(common.worker_threads.into())
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .enable_all()
        .build()
        .context("no runtime")?;
    let within = runtime.enter();
    let telemetry = telemetry::init(name, &common.telemetry)?;
    let kit = Kit::new(name, common, Some(telemetry.metrics()))?;
    drain_on_signal(kit.drain()).context("signals cannot be handled")?;
    drop(within);
    Ok((runtime, telemetry, kit))
}

/// Lets the process have as many connections and files as the system allows it: the usual soft limit of 1024 is for programs
/// that use `select`.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where even that is refused, the process works with what it has.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}

/// Runs `body`, but not past the end of a drain.
async fn watched(
    kit: Kit,
    drain_timeout: Duration,
    body: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let overdue = async {
        kit.drain().cancelled().await;
        // A service that has not begun to serve has nothing to finish.
        if kit.is_serving() {
            tokio::time::sleep(drain_timeout + DRAIN_MARGIN).await;
            anyhow::bail!("the drain did not end in time");
        }
        Ok(())
    };
    tokio::select! {
        outcome = body => outcome,
        outcome = overdue => outcome,
    }
}

/// Cancels the token on the first SIGTERM or SIGINT and ends the process on the second.
///
/// # Errors
/// The system does not let signals be handled.
pub fn drain_on_signal(drain: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut told = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        told().await;
        drain.cancel();
        told().await;
        tracing::warn!("told to go once more: leaving at once");
        std::process::exit(1);
    });
    Ok(())
}

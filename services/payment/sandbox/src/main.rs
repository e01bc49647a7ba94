//! The `payment-sandbox` binary: see the library.

use clap::Parser;
use payment_sandbox::{Config, Sandbox, logs};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

// One thread serves: the ledger's commits are the limit, and an idle sandbox stays small.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    logs::init(config.log_format);
    let sandbox = Sandbox::bind(config).await?;
    tracing::info!(address = %sandbox.local_addr()?, "ready");

    let drain = CancellationToken::new();
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let signalled = drain.clone();
    tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("draining");
        signalled.cancel();
    });
    sandbox.serve(drain).await?;
    tracing::info!("stopped");
    Ok(())
}

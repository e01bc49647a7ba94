//! A payment provider for development and tests: the subset of Stripe's HTTP API that the payment
//! service needs, with Stripe's shapes, errors, test payment methods and Idempotency-Key rules.
//!
//! Every movement of money is an entry of a durable ledger (its own SQLite file), listed at
//! `GET /ledger`. It stands outside the mesh as the real provider does, so it shares no code with it.
//!
//! What it leaves out: customers, payments that need the customer's action, webhooks, and Stripe's
//! smallest amounts per currency.

mod auth;
mod cards;
pub mod config;
mod error;
mod http;
mod idempotency;
mod ledger;
pub mod logs;
mod params;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use config::Config;
use ledger::{Ledger, Writer};

/// A sandbox whose port is bound and whose ledger is open.
pub struct Sandbox {
    config: Config,
    listener: TcpListener,
    ledger: Ledger,
    writer: Writer,
}

impl Sandbox {
    /// Opens the ledger and binds the port.
    ///
    /// # Errors
    /// Where the key is missing, the ledger cannot be opened or the port is taken.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        config.key()?;
        let (ledger, writer) = Ledger::open(&config.ledger_path()).await?;
        let listener = TcpListener::bind(config.listen_addr)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen_addr))?;
        Ok(Self {
            config,
            listener,
            ledger,
            writer,
        })
    }

    /// Where it listens: the real port where the configured one is 0.
    ///
    /// # Errors
    /// Where the system does not know the address of the socket.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `drain` is cancelled, then finishes what was accepted and closes the ledger.
    ///
    /// # Errors
    /// Where the listener fails or the drain takes longer than its limit.
    pub async fn serve(self, drain: CancellationToken) -> anyhow::Result<()> {
        let state = Arc::new(http::State {
            key: self.config.key()?,
            ledger: self.ledger,
            running: idempotency::Running::default(),
            drain: drain.clone(),
        });
        let writer = tokio::spawn(self.writer.run());
        let server = axum::serve(self.listener, http::router(state))
            .with_graceful_shutdown(drain.clone().cancelled_owned())
            .into_future();
        let limit = self.config.drain_timeout;
        tokio::select! {
            served = server => served.context("the listener failed")?,
            () = async { drain.cancelled().await; tokio::time::sleep(limit).await } => {
                anyhow::bail!("requests were still open {limit:?} after the signal");
            }
        }
        // The server held the last ledger handle, so the writer now ends by itself.
        writer.await.context("the ledger's writer failed")?
    }
}

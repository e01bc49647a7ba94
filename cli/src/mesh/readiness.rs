//! Whether a process can do its work now.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;

use super::topology::{Node, Role};
use crate::http::Call;

/// Between two questions to a process that is not ready yet.
pub const POLL_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The broker's greeting is one line of about 500 bytes.
const MAX_GREETING_BYTES: u64 = 16 << 10;

/// Asks once whether `node` is ready.
///
/// # Errors
/// Says what is not ready: no answer, or the checks that the process names.
pub async fn check(node: &Node) -> anyhow::Result<()> {
    match node.role {
        Role::Broker => tokio::time::timeout(ANSWER_TIMEOUT, greeting(node.address))
            .await
            .context("no greeting in time")?,
        Role::Gateway | Role::Service | Role::Provider => {
            let answer = Call::get("/readyz")
                .to(node.admin.unwrap_or(node.address), ANSWER_TIMEOUT)
                .await?;
            let text = String::from_utf8_lossy(&answer.body);
            ensure!(
                answer.status.is_success(),
                "/readyz says {}: {}",
                answer.status.as_u16(),
                text.trim()
            );
            Ok(())
        }
    }
}

/// A broker greets each client with what it offers; JetStream is named once its store is open.
async fn greeting(address: SocketAddr) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_GREETING_BYTES))
        .read_line(&mut line)
        .await?;
    let offer: serde_json::Value = line
        .strip_prefix("INFO ")
        .and_then(|offer| serde_json::from_str(offer).ok())
        .context("the greeting is not NATS'")?;
    ensure!(offer["jetstream"] == true, "JetStream is not open yet");
    Ok(())
}

/// Waits until `node` is ready. Ends only by success: the caller sets the deadline.
pub async fn wait(node: &Node) {
    while check(node).await.is_err() {
        tokio::time::sleep(POLL_EVERY).await;
    }
}

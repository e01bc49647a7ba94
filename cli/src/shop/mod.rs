//! What the command does through the gateway, like any other client: log in, register, load the sample catalogue.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use http::StatusCode;
use serde_json::Value;

use crate::http::{Answer, Call};

pub mod seed;
pub mod session;

/// Longest wait for one answer; longer than any deadline behind the gateway.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a call is sent that finds the gateway or an upstream not there yet.
const MAX_TRIES: u32 = 20;
/// Between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The gateway of a running mesh.
#[derive(Clone, Copy, Debug)]
pub struct Shop {
    gateway: SocketAddr,
}

impl Shop {
    /// The shop behind a gateway.
    #[must_use]
    pub fn new(gateway: SocketAddr) -> Self {
        Self { gateway }
    }

    /// Sends a call that may be repeated, until an upstream is there to answer it.
    ///
    /// # Errors
    /// No answer after the last try.
    async fn send(&self, call: &Call<'_>) -> anyhow::Result<Answer> {
        let mut tries = 1;
        loop {
            let outcome = call.to(self.gateway, ANSWER_TIMEOUT).await;
            let absent = match &outcome {
                Ok(answer) => matches!(
                    answer.status,
                    StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                ),
                Err(_) => true,
            };
            if !absent || tries == MAX_TRIES {
                return outcome;
            }
            tries += 1;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// As `send`; anything but success is an error that says what was done.
    async fn expect(&self, what: &str, call: &Call<'_>) -> anyhow::Result<Value> {
        let answer = self.send(call).await?;
        if !answer.status.is_success() {
            bail!("cannot {what}: {}", answer.problem());
        }
        answer.json()
    }
}

//! `caravan saga watch`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::{Name, id, path};
use crate::saga::client::Client;
use crate::saga::timeline;
use crate::saga::view::{Saga, Time};

/// Between two streams, where one ended before its saga.
const PAUSE: Duration = Duration::from_secs(1);
/// Puts the cursor into the upper left corner of an empty screen.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Draws the saga after each change; exit code 0 only when it was completed.
pub(super) async fn run(name: &Name, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let id = id(client, name).await?;
    let redraws = !as_json && std::io::stdout().is_terminal();
    loop {
        let mut stream = client.stream(&format!("{}:watch", path(&id))).await?;
        while let Some(message) = stream.next().await? {
            let saga: Saga =
                serde_json::from_value(message.clone()).context("the stream holds no saga")?;
            let text = if as_json {
                format!("{message}\n")
            } else if redraws {
                format!("{CLEAR}{}", timeline::draw(&saga, Time::now()))
            } else {
                format!("{}\n", timeline::draw(&saga, Time::now()))
            };
            crate::command::print(text.as_bytes());
            if saga.is_over() {
                let completed = saga.state == "SAGA_STATE_COMPLETED";
                return Ok(if completed {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                });
            }
        }
        // A stream lasts some minutes at most; a saga may take days.
        tokio::time::sleep(PAUSE).await;
    }
}

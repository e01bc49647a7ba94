//! `caravan keys`: the keys that access tokens are signed with.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::print;
use crate::saga::client::{Client, Target};

const PATH: &str = "/v1/signing-keys";

/// Options of `caravan keys`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    target: Target,
    /// JSON as the gateway answers it.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Lists the keys: the next one, the one that signs, and those whose tokens still count.
    List,
    /// Makes a new key. It is published at once, and signs when everybody has had time to see it.
    Rotate(Rotate),
}

#[derive(Clone, Debug, clap::Args)]
struct Rotate {
    /// Why; stands in the audit log.
    #[arg(long)]
    reason: String,
    /// Somebody else may have the key: the new one signs at once, and no other counts any more.
    #[arg(long)]
    compromised: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// What went wrong, as one line.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.target, home).await?;
    let answer = match &args.command {
        Command::List => client.get(PATH, &[]).await?,
        Command::Rotate(rotate) => {
            let body = json!({"reason": rotate.reason, "compromised": rotate.compromised});
            client.post(&format!("{PATH}:rotate"), &body).await?
        }
    };
    if args.json {
        print(format!("{}\n", serde_json::to_string_pretty(&answer)?).as_bytes());
    } else {
        print(table(&answer).as_bytes());
    }
    Ok(ExitCode::SUCCESS)
}

fn table(answer: &Value) -> String {
    let text = |key: &Value, field: &str| key[field].as_str().unwrap_or_default().to_owned();
    let keys = answer["signingKeys"].as_array().into_iter().flatten();
    let lines = keys.map(|key| {
        let state = text(key, "state").replace("SIGNING_KEY_STATE_", "");
        let ends = match text(key, "expireTime") {
            none if none.is_empty() => String::new(),
            time => format!("  until {time}"),
        };
        let (id, from) = (text(key, "keyId"), text(key, "signTime"));
        format!(
            "{id}  {:<8}  signs from {from}{ends}\n",
            state.to_lowercase()
        )
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_a_line() {
        let answer = json!({"signingKeys": [
            {"keyId": "b", "state": "SIGNING_KEY_STATE_NEXT", "signTime": "2026-01-02T00:00:00Z"},
            {"keyId": "a", "state": "SIGNING_KEY_STATE_SIGNING", "signTime": "2026-01-01T00:00:00Z",
                "expireTime": "2026-01-02T00:16:00Z"},
        ]});
        assert_eq!(
            table(&answer),
            "b  next      signs from 2026-01-02T00:00:00Z\n\
             a  signing   signs from 2026-01-01T00:00:00Z  until 2026-01-02T00:16:00Z\n"
        );
    }
}

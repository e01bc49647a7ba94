//! `caravan client`: systems that call the shop under a name of their own.

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use super::print;
use crate::saga::client::{Client, Target};

const PATH: &str = "/v1/clients";
/// Clients of one answer.
const PAGE_CLIENTS: &str = "100";

/// Options of `caravan client`.
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
    /// Makes a client and prints its secret, this once.
    Create(Create),
    /// Lists the clients.
    List,
    /// Gives a client a new secret and prints it, this once.
    RotateSecret(RotateSecret),
    /// Lets a client get no more tokens.
    Disable(Name),
    /// Lets a disabled client get tokens again.
    Enable(Name),
}

#[derive(Clone, Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    name: Name,
    /// What its tokens may have, e.g. `orders:read`; `mesh` for a service of the mesh. Repeatable.
    #[arg(long = "scope", required = true, value_delimiter = ',')]
    scopes: Vec<String>,
    /// For people, e.g. who runs it.
    #[arg(long, default_value = "")]
    description: String,
}

#[derive(Clone, Debug, clap::Args)]
struct RotateSecret {
    #[command(flatten)]
    name: Name,
    /// Hours that the old secret stays good beside the new one.
    #[arg(long, value_name = "HOURS", default_value_t = 0)]
    keep_previous: u32,
}

#[derive(Clone, Debug, clap::Args)]
struct Name {
    /// Lower-case letters, digits and `-`, e.g. `erp`.
    client_id: String,
}

impl Name {
    fn path(&self, action: &str) -> String {
        let id: String = form_urlencoded::byte_serialize(self.client_id.as_bytes()).collect();
        format!("{PATH}/{id}:{action}")
    }
}

/// Runs the subcommand.
///
/// # Errors
/// What went wrong, as one line or a line for each field at fault.
pub async fn run(args: &Args, home: &Path) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.target, home).await?;
    match &args.command {
        Command::List => list(&client, args.json).await?,
        Command::Create(create) => {
            let body = json!({
                "clientId": create.name.client_id,
                "scopes": create.scopes,
                "description": create.description,
            });
            show(&client.post(PATH, &body).await?, args.json)?;
        }
        Command::RotateSecret(rotate) => {
            let body = json!({"keepPreviousHours": rotate.keep_previous});
            let path = rotate.name.path("rotateSecret");
            show(&client.post(&path, &body).await?, args.json)?;
        }
        Command::Disable(name) => {
            let answer = client.post(&name.path("disable"), &json!({})).await?;
            show(&answer, args.json)?;
        }
        Command::Enable(name) => {
            let answer = client.post(&name.path("enable"), &json!({})).await?;
            show(&answer, args.json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut token = String::new();
    loop {
        let query = [
            ("pageSize", PAGE_CLIENTS.to_owned()),
            ("pageToken", token.clone()),
        ];
        let page = client.get(PATH, &query).await?;
        for client in page["clients"].as_array().into_iter().flatten() {
            show(client, json)?;
        }
        token = match page["nextPageToken"].as_str() {
            Some(next) if !next.is_empty() => next.to_owned(),
            _ => return Ok(()),
        };
    }
}

fn show(answer: &Value, json: bool) -> anyhow::Result<()> {
    let text = match json {
        true => serde_json::to_string_pretty(answer)?,
        false => line(answer),
    };
    print(format!("{text}\n").as_bytes());
    Ok(())
}

/// A client in one line, or the secret that came with it, alone, for `$(...)`.
fn line(answer: &Value) -> String {
    if let Some(secret) = answer["clientSecret"].as_str() {
        return secret.to_owned();
    }
    let scopes = answer["scopes"].as_array().into_iter().flatten();
    let scopes: Vec<_> = scopes.filter_map(Value::as_str).collect();
    let state = match answer["disabled"].as_bool() {
        Some(true) => "disabled",
        _ => "enabled",
    };
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    let line = format!(
        "{}  {state}  {}  {}",
        text("clientId"),
        scopes.join(","),
        text("description")
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stands_alone_and_a_client_in_a_line() {
        let client = json!({"clientId": "erp", "scopes": ["orders:read", "stock:write"]});
        assert_eq!(line(&client), "erp  enabled  orders:read,stock:write");
        let made = json!({"client": client, "clientSecret": "ccs_x"});
        assert_eq!(line(&made), "ccs_x");
        let name = Name {
            client_id: "a/b".to_owned(),
        };
        assert_eq!(name.path("disable"), "/v1/clients/a%2Fb:disable");
    }
}

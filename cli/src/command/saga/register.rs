//! `caravan saga register`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::print_json;
use crate::saga::client::Client;

/// Options of `caravan saga register`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// YAML or JSON of a definition each.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Registers each; one that is refused does not keep the others.
pub(super) async fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let mut registered = Vec::new();
    for file in &args.files {
        let source = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        match client
            .post("/v1/sagaDefinitions", &json!({ "source": source }))
            .await
        {
            Ok(answer) => {
                if !as_json {
                    let name = answer["name"].as_str().unwrap_or_default();
                    let line = format!("{name} version {}\n", answer["version"]);
                    crate::command::print(line.as_bytes());
                }
                registered.push(answer);
            }
            Err(error) => {
                code = ExitCode::FAILURE;
                for line in format!("{error:#}").lines() {
                    // Nobody is left to be told when stderr is closed.
                    let _ = writeln!(std::io::stderr(), "{}: {line}", file.display());
                }
            }
        }
    }
    if as_json {
        print_json(&Value::Array(registered))?;
    }
    Ok(code)
}

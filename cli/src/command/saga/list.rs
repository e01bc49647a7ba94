//! `caravan saga list`.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::print_json;
use crate::command::report::columns;
use crate::saga::client::Client;
use crate::saga::view::{Saga, Time, length, word};

/// Most sagas of one page.
const PAGE: usize = 100;

/// Options of `caravan saga list`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Only sagas of this definition.
    #[arg(long)]
    definition: Option<String>,
    /// Only sagas in this state.
    #[arg(long, value_parser = ["running", "compensating", "completed", "compensated", "parked"])]
    state: Option<String>,
    /// Only the saga with this key.
    #[arg(long)]
    key: Option<String>,
    /// Only sagas that stand at this step.
    #[arg(long)]
    step: Option<String>,
    /// Only sagas that began this long ago or longer, e.g. `10m`.
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Most sagas to list.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

pub(super) async fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<()> {
    let sagas = read(args, client).await?;
    if as_json {
        return print_json(&json!({ "sagas": sagas }));
    }
    let sagas: Vec<Saga> =
        serde_json::from_value(Value::Array(sagas)).context("the answer is no list of sagas")?;
    let now = Time::now();
    let rows = sagas.into_iter().map(|saga| {
        let age = saga.create_time.map(|start| length(now.since(start)));
        let failure = saga.failure.unwrap_or_default();
        let why = match failure.reason.as_str() {
            "" => failure.code,
            reason => reason.to_owned(),
        };
        [
            saga.saga_id,
            saga.definition,
            saga.key,
            word(&saga.state),
            saga.current_steps.join(" "),
            age.unwrap_or_default(),
            why,
        ]
    });
    let heading = ["SAGA", "DEFINITION", "KEY", "STATE", "AT", "AGE", "FAILURE"];
    crate::command::print(columns(heading, rows).as_bytes());
    Ok(())
}

async fn read(args: &Args, client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut query: Vec<(&str, String)> = Vec::new();
    let texts = [
        ("definition", args.definition.clone()),
        ("key", args.key.clone()),
        ("step", args.step.clone()),
        (
            "state",
            args.state
                .as_ref()
                .map(|state| format!("SAGA_STATE_{}", state.to_uppercase())),
        ),
        (
            "minAge",
            args.older_than.map(|age| format!("{}s", age.as_secs_f64())),
        ),
    ];
    for (name, text) in texts {
        query.extend(text.map(|text| (name, text)));
    }
    let limit = usize::from(args.limit);
    let mut sagas = Vec::new();
    let mut token = String::new();
    loop {
        let mut page = query.clone();
        page.push(("pageSize", (limit - sagas.len()).min(PAGE).to_string()));
        if !token.is_empty() {
            page.push(("pageToken", token));
        }
        let mut answer = client.get("/v1/sagas", &page).await?;
        if let Value::Array(found) = answer["sagas"].take() {
            sagas.extend(found);
        }
        token = answer["nextPageToken"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if token.is_empty() || sagas.len() >= limit {
            return Ok(sagas);
        }
    }
}

//! `caravan saga definitions`.

use serde_json::Value;

use super::print_json;
use crate::command::report::columns;
use crate::saga::client::Client;

/// Options of `caravan saga definitions`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// Print this one, as JSON that `register` takes again.
    name: Option<String>,
    /// Which version; unset: the newest.
    #[arg(long, requires = "name")]
    version: Option<u32>,
}

pub(super) async fn run(args: &Args, client: &Client, as_json: bool) -> anyhow::Result<()> {
    if let Some(name) = &args.name {
        let version = args.version.map(|version| ("version", version.to_string()));
        let query: Vec<_> = version.into_iter().collect();
        let found = client
            .get(&format!("/v1/sagaDefinitions/{name}"), &query)
            .await?;
        return print_json(if as_json {
            &found
        } else {
            &found["definition"]
        });
    }
    let found = client.get("/v1/sagaDefinitions", &[]).await?;
    if as_json {
        return print_json(&found);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rows = found["definitions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            let definition = &entry["definition"];
            let steps = definition["steps"].as_array().map_or(0, Vec::len);
            let subject = text(&definition["trigger"]["subject"]);
            [
                text(&definition["name"]),
                entry["version"].to_string(),
                steps.to_string(),
                if subject.is_empty() {
                    "StartSaga".to_owned()
                } else {
                    subject
                },
                text(&definition["description"]),
            ]
        });
    let heading = [
        "DEFINITION",
        "VERSION",
        "STEPS",
        "STARTED BY",
        "DESCRIPTION",
    ];
    crate::command::print(columns(heading, rows).as_bytes());
    Ok(())
}

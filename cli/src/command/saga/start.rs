//! `caravan saga start`.

use serde_json::{Value, json};

use super::object;
use crate::saga::client::Client;

/// Options of `caravan saga start`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The definition's name; its newest version is taken.
    definition: String,
    /// What the saga is about, e.g. an order's id; unique within the definition.
    key: String,
    /// What the expressions see as `trigger`: a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    input: Value,
}

pub(super) async fn run(args: &Args, client: &Client) -> anyhow::Result<Value> {
    let body = json!({ "definition": args.definition, "key": args.key, "input": args.input });
    client.post("/v1/sagas", &body).await
}

//! What an operator does to a saga. Each intervention is kept with who did it and why.

use serde_json::{Value, json};

use super::{Name, id, object, path};
use crate::saga::client::Client;

/// Options of `caravan saga retry`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Retry {
    #[command(flatten)]
    saga: Name,
    /// Why; kept with your name.
    #[arg(long)]
    reason: String,
}

/// Options of `caravan saga cancel`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    saga: Name,
    /// Why; kept with your name.
    #[arg(long)]
    reason: String,
}

/// Options of `caravan saga skip`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Skip {
    #[command(flatten)]
    saga: Name,
    /// The step's name.
    step: String,
    /// Of a step with `for_each`: the item's index, from 0; unset: all that are not settled.
    #[arg(long)]
    item: Option<u32>,
    /// Why; kept with your name.
    #[arg(long)]
    reason: String,
}

/// Options of `caravan saga resolve`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("outcome").required(true).args(["reply", "fail"]))]
pub(super) struct Resolve {
    #[command(flatten)]
    saga: Name,
    /// The step's name.
    step: String,
    /// The step was done, with this reply of its method: a JSON object, `{}` for an empty one, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = object)]
    reply: Option<Value>,
    /// The step was not done, for this reason (for programs), e.g. `CARD_DECLINED`.
    #[arg(long, value_name = "REASON")]
    fail: Option<String>,
    /// With --fail: a sentence for people.
    #[arg(long, requires = "fail", default_value = "")]
    message: String,
    /// Of a step with `for_each`: the item's index, from 0; unset: all that are not settled.
    #[arg(long)]
    item: Option<u32>,
    /// Why; kept with your name.
    #[arg(long)]
    reason: String,
}

/// Options of `caravan saga signal`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Signal {
    #[command(flatten)]
    saga: Name,
    /// The signal's name.
    signal: String,
    /// What the step's reply becomes: a JSON object, or @FILE.
    #[arg(long, value_name = "JSON", value_parser = object, default_value = "{}")]
    payload: Value,
    /// Tells this signal from others of its name: sent again with the same id it counts once.
    #[arg(long, default_value = "")]
    id: String,
    /// Why; kept with your name.
    #[arg(long, default_value = "")]
    reason: String,
}

impl Retry {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Value> {
        let path = format!("{}:retry", path(&id(client, &self.saga).await?));
        client.post(&path, &json!({ "reason": self.reason })).await
    }
}

impl Cancel {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Value> {
        let path = format!("{}:cancel", path(&id(client, &self.saga).await?));
        client.post(&path, &json!({ "reason": self.reason })).await
    }
}

impl Skip {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Value> {
        let path = format!(
            "{}/steps/{}:skip",
            path(&id(client, &self.saga).await?),
            self.step
        );
        let body = json!({ "reason": self.reason, "item": self.item });
        client.post(&path, &body).await
    }
}

impl Resolve {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Value> {
        let saga = id(client, &self.saga).await?;
        let path = format!("{}/steps/{}:resolve", path(&saga), self.step);
        let mut body = json!({ "reason": self.reason, "item": self.item });
        match (&self.reply, &self.fail) {
            (Some(reply), _) => body["reply"] = reply.clone(),
            (None, fail) => body["failure"] = json!({ "reason": fail, "message": self.message }),
        }
        client.post(&path, &body).await
    }
}

impl Signal {
    pub(super) async fn run(&self, client: &Client) -> anyhow::Result<Value> {
        let path = format!("{}:signal", path(&id(client, &self.saga).await?));
        let body = json!({
            "signal": self.signal,
            "signalId": self.id,
            "payload": self.payload,
            "reason": self.reason,
        });
        client.post(&path, &body).await
    }
}

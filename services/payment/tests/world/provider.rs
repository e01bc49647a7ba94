//! The payment provider: the sandbox on a port of its own, and its books.

use std::net::SocketAddr;

use payment_sandbox::{Config, Sandbox};
use reqwest::Url;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// The key that the provider asks for.
pub(crate) const KEY: &str = "sk_test_payment_alone";

/// A running provider. Ends with the value.
pub(crate) struct Provider {
    url: Url,
    _stop: DropGuard,
    _home: TempDir,
}

/// What the provider's books say, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// On hold on the customer's card.
    pub(crate) held: i64,
    /// Taken, and sent back or not.
    pub(crate) taken: i64,
    /// Sent back.
    pub(crate) returned: i64,
    /// How often an amount was put on hold.
    pub(crate) holds: usize,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let config = Config {
            listen_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: home.path().to_owned(),
            provider_key_file: None,
            provider_key: Some(KEY.into()),
            log_format: None,
            drain_timeout: std::time::Duration::from_secs(5),
        };
        let sandbox = Sandbox::bind(config).await.expect("a free port");
        let url = format!("http://{}", sandbox.local_addr().expect("bound"));
        let drain = CancellationToken::new();
        tokio::spawn(sandbox.serve(drain.clone()));
        Self {
            url: url.parse().expect("a URL"),
            _stop: drain.drop_guard(),
            _home: home,
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Ends a hold as the provider itself does, e.g. when it became too old.
    pub(crate) async fn cancel(&self, reference: &str) {
        let url = self
            .url
            .join(&format!("v1/payment_intents/{reference}/cancel"))
            .expect("a URL");
        let request = reqwest::Client::new().post(url).bearer_auth(KEY);
        let answer = request.send().await.expect("answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// The books of one order.
    pub(crate) async fn books(&self, order: Uuid) -> Totals {
        let url = self
            .url
            .join(&format!("ledger?orderId={order}"))
            .expect("a URL");
        let text = reqwest::get(url)
            .await
            .expect("answers")
            .text()
            .await
            .expect("answers");
        let ledger: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let total = |name: &str| ledger["totals"][name].as_i64().expect("a number");
        let entries = ledger["entries"].as_array().expect("a list");
        Totals {
            held: total("heldMinor"),
            taken: total("capturedMinor"),
            returned: total("refundedMinor"),
            holds: entries
                .iter()
                .filter(|entry| entry["kind"] == "authorize")
                .count(),
        }
    }
}

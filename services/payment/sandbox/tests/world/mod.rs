//! A sandbox of its own for each test, on a free port, and how to ask it.

use std::{path::Path, time::Duration};

use clap::Parser;
use payment_sandbox::{Config, Sandbox};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) const KEY: &str = "sk_test_sandbox";
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    drain: CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl World {
    pub(crate) async fn start(dir: &Path) -> Self {
        let folder = dir.to_str().expect("a UTF-8 path");
        let config = Config::parse_from([
            "payment-sandbox",
            "--listen-addr",
            "127.0.0.1:0",
            "--data-dir",
            folder,
            "--provider-key",
            KEY,
        ]);
        let sandbox = Sandbox::bind(config)
            .await
            .expect("a free port and a new ledger");
        let url = format!("http://{}", sandbox.local_addr().expect("bound"));
        let drain = CancellationToken::new();
        let serving = tokio::spawn(sandbox.serve(drain.clone()));
        Self {
            url,
            http: reqwest::Client::new(),
            drain,
            serving,
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.http);
        self.drain.cancel();
        tokio::time::timeout(DRAIN_LIMIT, self.serving)
            .await
            .expect("drains in time")
            .expect("no panic")
            .expect("no error");
    }

    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .bearer_auth(KEY)
            .form(form)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http
            .get(format!("{}{path}", self.url))
            .bearer_auth(KEY)
    }

    pub(crate) async fn totals(&self) -> Value {
        answer(self.get("/ledger")).await.1["totals"].take()
    }
}

pub(crate) fn intent<'a>(order: &'a str, method: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("amount", "1500"),
        ("currency", "EUR"),
        ("payment_method", method),
        ("payment_method_types[]", "card"),
        ("confirm", "true"),
        ("capture_method", "manual"),
        ("metadata[order_id]", order),
    ]
}

pub(crate) async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    (status, response.json().await.expect("a JSON body"))
}

pub(crate) fn id(intent: &Value) -> &str {
    intent["id"].as_str().expect("an id")
}

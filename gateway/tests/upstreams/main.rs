//! Upstreams that die, come back, say that they are away, move, or are not needed any more; and TLS on the way to them.

#[path = "../notes/mod.rs"]
mod notes;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use notes::{Gateway, PATIENCE, Service, contract, folder, replace, until_status};
use prost::Message as _;
use serde_json::Value;
use tokio::time::timeout;

const ANYWHERE: &str = "127.0.0.1:0";

async fn until(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = timeout(PATIENCE, poll).await;
    in_time.unwrap_or_else(|_| panic!("not in time: {what}"));
}

async fn status(request: reqwest::RequestBuilder) -> u16 {
    let answer = timeout(PATIENCE, request.send()).await.expect("in time");
    answer.expect("an answer").status().as_u16()
}

/// Clients that ask one after the other until they are told to stop; none may fail.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(url: &str) -> Self {
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let client = reqwest::Client::new();
        let ask = |_| {
            let (client, url) = (client.clone(), url.to_owned());
            let (stop, asked) = (stop.clone(), asked.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let answer = client.get(&url).send().await.expect("an answer");
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.expect("a whole body");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let clients = (0..16).map(ask).collect();
        Self {
            stop,
            asked,
            clients,
        }
    }

    /// Until so many more have been answered.
    async fn go_on(&self, count: usize) {
        let enough = self.asked.load(Ordering::SeqCst) + count;
        until("load", || self.asked.load(Ordering::SeqCst) >= enough).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.expect("no request failed");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_killed_under_load_fails_no_get_and_may_come_back() {
    let (_folder, file) = folder();
    let (one, other) = (Service::default(), Service::default());
    let (doomed, stays) = (
        one.serve_apart(ANYWHERE.parse().expect("an address")),
        other.serve().await,
    );
    let address = doomed.address;
    let gateway = Gateway::of_file(&file, &[&doomed.url(), &stays]).await;
    let load = Load::start(&gateway.at("/v1/notes/a"));
    load.go_on(200).await;
    assert!(one.calls.load(Ordering::SeqCst) > 0 && other.calls.load(Ordering::SeqCst) > 0);
    drop(doomed);
    load.go_on(200).await;
    let before = one.calls.load(Ordering::SeqCst);
    let _back = one.serve_apart(address);
    until("calls come to it again", || {
        one.calls.load(Ordering::SeqCst) > before
    })
    .await;
    load.end().await;
}

#[tokio::test]
async fn an_endpoint_that_says_unavailable_is_passed_over_and_tried_again() {
    let (_folder, file) = folder();
    let (ill, well) = (Service::default(), Service::default());
    ill.is_unavailable.store(true, Ordering::SeqCst);
    let urls = (ill.serve().await, well.serve().await);
    let gateway = Gateway::of_file(&file, &[&urls.0, &urls.1]).await;
    let client = reqwest::Client::new();
    // What may be made again is; what may not is told once for each of the few tries.
    let mut refused = 0;
    for _ in 0..50 {
        assert_eq!(status(client.get(gateway.at("/v1/notes/a"))).await, 200);
        let post = client.post(gateway.at("/v1/notes")).body("{}");
        refused += usize::from(status(post).await == 503);
    }
    let asked = ill.calls.load(Ordering::SeqCst);
    // Five, and one for each worker that was on its way, and for each trial since.
    assert!(refused < 15 && asked < 30, "{refused} {asked}");
    ill.is_unavailable.store(false, Ordering::SeqCst);
    let load = Load::start(&gateway.at("/v1/notes/a"));
    let before = ill.calls.load(Ordering::SeqCst);
    until("it is trusted again", || {
        ill.calls.load(Ordering::SeqCst) > before + 50
    })
    .await;
    load.end().await;
}

#[tokio::test]
async fn where_all_say_unavailable_nothing_is_multiplied() {
    let (_folder, file) = folder();
    let services = [Service::default(), Service::default(), Service::default()];
    let mut urls = Vec::new();
    for service in &services {
        service.is_unavailable.store(true, Ordering::SeqCst);
        urls.push(service.serve().await);
    }
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let gateway = Gateway::of_file(&file, &urls).await;
    let client = reqwest::Client::new();
    let asked = || -> usize {
        let calls = services.iter().map(|service| &service.calls);
        calls.map(|calls| calls.load(Ordering::SeqCst)).sum()
    };
    // The budget of both workers is spent some time.
    for _ in 0..600 {
        assert_eq!(status(client.get(gateway.at("/v1/notes/a"))).await, 503);
    }
    let before = asked();
    for _ in 0..100 {
        assert_eq!(status(client.get(gateway.at("/v1/notes/a"))).await, 503);
    }
    assert_eq!(asked() - before, 100);
}

#[tokio::test]
async fn a_call_that_may_have_acted_is_made_once() {
    let (_folder, file) = folder();
    let service = Service::default();
    let gateway = Gateway::of_file(&file, &[&service.serve().await]).await;
    let client = reqwest::Client::new();
    let post = client
        .post(gateway.at("/v1/notes"))
        .body(r#"{"id": "dies"}"#);
    assert_eq!(status(post).await, 503);
    assert_eq!(service.calls.load(Ordering::SeqCst), 1);
    assert_eq!(status(client.get(gateway.at("/v1/notes/dies"))).await, 503);
    assert_eq!(service.calls.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn upstreams_that_nobody_needs_end_with_their_last_request() {
    let (_folder, file) = folder();
    let service = Service::default();
    let gateway = Gateway::of_file(&file, &[&service.serve().await]).await;
    let client = reqwest::Client::new();
    let slow = client.get(gateway.at("/v1/notes/hangs"));
    let slow = tokio::spawn(slow.header("x-request-timeout", "3s").send());
    until("it runs", || service.running.load(Ordering::SeqCst) == 1).await;
    let nothing = contract("").to_vec();
    let mut set = prost_types::FileDescriptorSet::decode(&*nothing).expect("a contract");
    for file in &mut set.file {
        file.service.clear();
    }
    replace(&file, &set.encode_to_vec());
    until_status(&client, &gateway.at("/v1/notes/a"), 404).await;
    // Its own time ends it, nothing else does.
    let slow = slow.await.expect("no panic").expect("an answer");
    assert_eq!(slow.status(), 504);
    until("no connection is left", || {
        service.connections.load(Ordering::SeqCst) == 0
    })
    .await;
    replace(&file, &contract(""));
    until_status(&client, &gateway.at("/v1/notes/a"), 200).await;
}

#[tokio::test]
async fn a_name_with_several_addresses_is_called_where_somebody_answers() {
    let (_folder, file) = folder();
    let service = Service::default();
    let url = service.serve().await.replace("127.0.0.1", "localhost");
    let gateway = Gateway::of_file(&file, &[&url]).await;
    let client = reqwest::Client::new();
    // Before the name is looked up and after.
    for _ in 0..50 {
        let post = client.post(gateway.at("/v1/notes")).body("{}");
        assert_eq!(status(post).await, 200);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn operators_see_what_happens_to_upstreams() {
    let (_folder, file) = folder();
    let (ill, well) = (Service::default(), Service::default());
    ill.is_unavailable.store(true, Ordering::SeqCst);
    let urls = (ill.serve().await, well.serve().await);
    let mut gateway = Gateway::of_file(&file, &[&urls.0, &urls.1]).await;
    let line: Value = serde_json::from_str(&gateway.says("\"serving\"").await).expect("JSON");
    let metrics = format!(
        "http://{}/metrics",
        line["admin"].as_str().expect("an address")
    );
    let client = reqwest::Client::new();
    for _ in 0..40 {
        assert_eq!(status(client.get(gateway.at("/v1/notes/a"))).await, 200);
    }
    let seen = client.get(metrics).send().await.expect("metrics");
    let seen = seen.text().await.expect("text");
    for expected in [
        r#"gateway_upstream_endpoints{upstream="default"} 2"#,
        r#"gateway_upstream_ejected_endpoints{upstream="default"} 1"#,
        r#"gateway_upstream_ejections_total{cause="unavailable",upstream="default"} 1"#,
        r#"gateway_upstream_retries_total{outcome="made",upstream="default"}"#,
    ] {
        assert!(seen.contains(expected), "{expected} is not in {seen}");
    }
}

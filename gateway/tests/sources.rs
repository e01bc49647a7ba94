//! Contracts that the gateway was not built with: files, reflection, swaps under load, and what is wrong with them.

mod notes;

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use notes::{Gateway, PATIENCE, Reflection, Service, contract, folder, replace, until_status};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

const MORE: &str =
    r#"rpc More(Note) returns (Note) { option (google.api.http) = {get: "/v1/more/{id}"}; }"#;
const TWICE: &str =
    r#"rpc Twice(Note) returns (Note) { option (google.api.http) = {get: "/v1/notes/{text}"}; }"#;

#[tokio::test]
async fn a_contract_from_a_file_is_served() {
    let (_folder, file) = folder();
    let gateway = Gateway::of_file(&file, &[&Service::default().serve().await]).await;
    let answer = reqwest::get(gateway.at("/v1/notes/a%20b?text=hi")).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    let note: Value = answer.json().await.expect("JSON");
    assert_eq!(note, serde_json::json!({"id": "a b", "text": "hi"}));
}

#[tokio::test]
async fn a_swap_under_load_drops_no_request() {
    let (_folder, file) = folder();
    let gateway = Gateway::of_file(&file, &[&Service::default().serve().await]).await;
    let client = reqwest::Client::new();
    until_status(&client, &gateway.at("/v1/notes/a"), 200).await;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (client, url) = (client.clone(), gateway.at("/v1/notes/a"));
            let (stop, asked) = (stop.clone(), asked.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let answer = client.get(&url).send().await.expect("an answer");
                    assert_eq!(answer.status(), 200);
                    answer.bytes().await.expect("a whole body");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        replace(&file, &contract(MORE));
        until_status(&client, &gateway.at("/v1/more/a"), 200).await;
        replace(&file, &contract(""));
        until_status(&client, &gateway.at("/v1/more/a"), 404).await;
    }
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("no request failed");
    }
    assert!(asked.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn a_contract_that_does_not_compile_leaves_the_old_one() {
    let (_folder, file) = folder();
    let mut gateway = Gateway::of_file(&file, &[&Service::default().serve().await]).await;
    let line = gateway.says("\"serving\"").await;
    let line: Value = serde_json::from_str(&line).expect("JSON");
    let admin = line["admin"].as_str().expect("an address").to_owned();
    replace(&file, &contract(TWICE));
    let line = gateway.says("the old one stays").await;
    assert!(
        line.contains("notes.v1.Notes.Get") && line.contains("notes.v1.Notes.Twice"),
        "{line}"
    );
    let client = reqwest::Client::new();
    until_status(&client, &gateway.at("/v1/notes/a"), 200).await;
    let metrics = client.get(format!("http://{admin}/metrics")).send().await;
    let metrics = metrics.expect("metrics").text().await.expect("text");
    assert!(
        metrics.contains(r#"gateway_contract_reloads_total{outcome="refused"} 1"#),
        "{metrics}"
    );
    replace(&file, b"rubbish");
    gateway.says("cannot be read").await;
    until_status(&client, &gateway.at("/v1/notes/a"), 200).await;
    replace(&file, &contract(MORE));
    until_status(&client, &gateway.at("/v1/more/a"), 200).await;
}

#[tokio::test]
async fn a_contract_that_does_not_compile_is_an_error_at_start() {
    let (_folder, file) = folder();
    replace(&file, &contract(TWICE));
    let run = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["--listen", "127.0.0.1:0", "--descriptor-set"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run)
        .await
        .expect("in time")
        .expect("output");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("notes.v1.Notes.Get") && text.contains("notes.v1.Notes.Twice"),
        "{text}"
    );
}

#[tokio::test]
async fn an_upstream_tells_its_contract_by_reflection() {
    for reflection in [
        Reflection::V1(contract("")),
        Reflection::V1Alpha(contract("")),
    ] {
        let upstream = Service::reflected(reflection).serve().await;
        let arguments = ["--reflection", &upstream, "--default-access", "public"];
        let gateway = Gateway::start(&arguments).await;
        let client = reqwest::Client::new();
        until_status(&client, &gateway.at("/v1/notes/a"), 200).await;
    }
}

#[tokio::test]
async fn without_an_upstream_the_answer_is_unavailable() {
    let (_folder, file) = folder();
    let gateway = Gateway::of_file(&file, &["other.v1.Service=http://127.0.0.1:9"]).await;
    let answer = reqwest::get(gateway.at("/v1/notes/a"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
    let problem: Value = answer.json().await.expect("JSON");
    assert_eq!(problem["reason"], "UPSTREAM_UNAVAILABLE");
}

#[tokio::test]
async fn who_may_call_is_said_by_the_operator_where_the_contract_is_silent() {
    let (_folder, file) = folder();
    let file = file.display().to_string();
    let upstream = Service::default().serve().await;
    let arguments = ["--descriptor-set", &file, "--upstream", &upstream];
    let gateway = Gateway::start(&arguments).await;
    let answer = reqwest::get(gateway.at("/v1/notes/a"))
        .await
        .expect("an answer");
    assert!(answer.status().is_client_error(), "{}", answer.status());
}

#[tokio::test]
async fn dead_endpoints_beside_one_that_lives_fail_no_call() {
    let (_folder, file) = folder();
    // A port that is taken and on which nobody listens.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let dead = format!("http://{}", taken.local_addr().expect("bound"));
    // One that accepts, or would, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("bound"));
    let gateway =
        Gateway::of_file(&file, &[&dead, &silent, &Service::default().serve().await]).await;
    let client = reqwest::Client::new();
    for _ in 0..50 {
        let get = client.get(gateway.at("/v1/notes/a")).send().await;
        assert_eq!(get.expect("an answer").status(), 200);
        let post = client.post(gateway.at("/v1/notes")).body("{}").send().await;
        assert_eq!(post.expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn operators_see_what_policies_do() {
    let (folder, file) = folder();
    let policies = folder.path().join("policies.yaml");
    let routes = "routes:\n  - {route: 'GET /v1/notes/{id}', cache: {ttl: 1h}}\n  \
                  - {route: POST /v1/notes, rate: 1/h}\n";
    replace(&policies, routes.as_bytes());
    let upstream = Service::default().serve().await;
    let (file, policies) = (file.display().to_string(), policies.display().to_string());
    let arguments = [
        ["--descriptor-set", &file],
        ["--default-access", "public"],
        ["--policies", &policies],
        ["--upstream", &upstream],
    ];
    let mut gateway = Gateway::start(&arguments.concat()).await;
    let line: Value = serde_json::from_str(&gateway.says("\"serving\"").await).expect("JSON");
    let admin = line["admin"].as_str().expect("an address").to_owned();
    let client = reqwest::Client::new();
    for (control, times) in [("max-age=0", 3), ("no-store", 1)] {
        for _ in 0..times {
            let get = client.get(gateway.at("/v1/notes/a"));
            let get = get.header("cache-control", control).send().await;
            assert_eq!(get.expect("an answer").status(), 200);
        }
    }
    for status in [200, 429, 429] {
        let post = client.post(gateway.at("/v1/notes")).body("{}").send().await;
        assert_eq!(post.expect("an answer").status(), status);
    }
    let metrics = client.get(format!("http://{admin}/metrics")).send().await;
    let metrics = metrics.expect("metrics").text().await.expect("text");
    for expected in [
        r#"gateway_cache_requests_total{outcome="hit"} 2"#,
        r#"gateway_cache_requests_total{outcome="miss"} 1"#,
        r#"gateway_cache_requests_total{outcome="bypass"} 1"#,
        r#"gateway_rate_limited_total{class="route"} 2"#,
        r#"http_server_requests_total{method="GET",route="/v1/notes/{id}",status="200"} 4"#,
        r#"http_server_requests_total{method="POST",route="/v1/notes",status="200"} 1"#,
        r#"http_server_requests_total{method="POST",route="/v1/notes",status="429"} 2"#,
        r#"http_server_request_duration_seconds_count{method="POST",route="/v1/notes"} 3"#,
    ] {
        assert!(metrics.contains(expected), "{expected} is not in {metrics}");
    }
}

//! What the specification says of transcoding over HTTP, rule by rule, as tables: 9 errors, 10 streams, 11 limits.
//!
//! Rules 1 to 8 are those of `transcode/tests/rules`; each kind of stream with failures, slow sides and clients that go is
//! in `flow.rs`.

mod support;

use std::path::Path;

use gateway::policy::{Policies, Settings};
use serde_json::{Value, json};
use support::World;

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    (status, response.json().await.expect("JSON"))
}

#[tokio::test]
async fn rule_9_every_code_has_its_status() {
    let world = World::start().await;
    for (code, name, status) in [
        (1, "CANCELLED", 499),
        (2, "UNKNOWN", 500),
        (3, "INVALID_ARGUMENT", 400),
        (4, "DEADLINE_EXCEEDED", 504),
        (5, "NOT_FOUND", 404),
        (6, "ALREADY_EXISTS", 409),
        (7, "PERMISSION_DENIED", 403),
        (8, "RESOURCE_EXHAUSTED", 429),
        (9, "FAILED_PRECONDITION", 400),
        (10, "ABORTED", 409),
        (11, "OUT_OF_RANGE", 400),
        (12, "UNIMPLEMENTED", 501),
        (13, "INTERNAL", 500),
        (14, "UNAVAILABLE", 503),
        (15, "DATA_LOSS", 500),
        (16, "UNAUTHENTICATED", 401),
    ] {
        let (found, problem) = answer(world.get(&format!("/v1/orders/code-{code}"))).await;
        assert_eq!(found, status, "{name}");
        assert_eq!(
            (&problem["status"], &problem["code"]),
            (&json!(status), &json!(name))
        );
        // What a service says of its own faults is not for everybody.
        let is_fault = status == 500;
        assert_eq!(problem["detail"] == "as it is", !is_fault, "{problem}");
    }
}

#[tokio::test]
async fn rule_10_accept_chooses_the_format() {
    let world = World::start().await;
    for (accept, kind) in [
        ("", Some("text/event-stream")),
        ("*/*", Some("text/event-stream")),
        ("text/event-stream", Some("text/event-stream")),
        ("application/x-ndjson", Some("application/x-ndjson")),
        ("application/jsonl", Some("application/x-ndjson")),
        ("application/json", Some("application/json")),
        (
            "application/json;q=0.2, application/x-ndjson;q=0.8",
            Some("application/x-ndjson"),
        ),
        (
            "text/html, application/json;q=0.9",
            Some("application/json"),
        ),
        ("text/html", None),
        ("application/json;q=0", None),
    ] {
        let mut request = world.get("/v1/orders/7:watch");
        if !accept.is_empty() {
            request = request.header("accept", accept);
        }
        let response = request.send().await.expect("an answer");
        match kind {
            Some(kind) => assert_eq!(response.headers()["content-type"], kind, "{accept}"),
            None => assert_eq!(response.status(), 406, "{accept}"),
        }
        // An error before the first message is one of HTTP.
        let request = world.get("/v1/orders/fails-first:watch");
        let request = request.header("accept", if kind.is_some() { accept } else { "*/*" });
        assert_eq!(answer(request).await.0, 404, "{accept}");
    }
}

#[tokio::test]
async fn rule_11_what_is_malformed_is_told_with_its_place() {
    let settings = Settings::parse(Path::new("p.yaml"), "limits: {body: 64KiB}");
    let settings = settings.expect("settings");
    let world = World::with(Policies::new(settings, None)).await;
    let deep =
        |levels: usize| format!("{{\"lines\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let (shallow, deep, large) = (deep(3), deep(10_000), "x".repeat(64 * 1024 + 1));
    for (body, status, place) in [
        ("{", 400, "body"),
        ("[]", 400, "body"),
        ("null", 400, "body"),
        ("{}{}", 400, "body"),
        (
            "{\"lines\": [{\"sku\": \"a\", \"quantity\": \"x\"}]}",
            400,
            "lines[0].quantity",
        ),
        ("{\"lines\": [{\"sku\": 5}]}", 400, "lines[0].sku"),
        ("{\"lines\": [{\"sku\": \"\\ud800\"}]}", 400, "lines[0].sku"),
        ("{\"lines\": {\"sku\": \"a\"}}", 400, "lines"),
        ("{\"nothing\": 1}", 400, "nothing"),
        (&*shallow, 400, "lines"),
        (&*deep, 400, "lines"),
        (&*large, 413, ""),
    ] {
        let (found, problem) = answer(world.post("/v1/orders", body)).await;
        let start = &body[..body.len().min(50)];
        assert_eq!(found, status, "{start}: {problem}");
        let field = problem["violations"][0]["field"]
            .as_str()
            .unwrap_or_default();
        assert!(field.starts_with(place), "{start}: {problem}");
    }
    // Bytes that are no text.
    let request = world.post("/v1/orders", "");
    let request = request.body(b"{\"paymentMethod\": \"\xff\"}".to_vec());
    assert_eq!(answer(request).await.0, 400);
    for (path, place) in [
        ("/v1/orders/%zz", "orderId"),
        ("/v1/orders/%ff", "orderId"),
        ("/v1/orders?pageSize=x", "pageSize"),
        ("/v1/orders?pageSize=99999999999", "pageSize"),
        ("/v1/orders?pageSize=1&pageSize=2", "pageSize"),
        ("/v1/orders?pageToken=%C3", "pageToken"),
        ("/v1/orders?nothing=1", "nothing"),
    ] {
        // As it stands: clients' libraries would mend it.
        let (status, problem) = raw(&world, path).await;
        assert_eq!(status, 400, "{path}: {problem}");
        assert!(problem.contains(place), "{path}: {problem}");
    }
}

/// A request by its bytes.
async fn raw(world: &World, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(world.address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(support::PATIENCE, exchange).await;
    let answer = answer.expect("in time").expect("an answer");
    let status = answer.split(' ').nth(1).expect("a status");
    (status.parse().expect("a number"), answer)
}

#[tokio::test]
async fn rule_11_connections_beyond_the_limit_wait() {
    let settings = Settings::parse(Path::new("p.yaml"), "limits: {connections: 2}");
    let world = World::with(Policies::new(settings.expect("settings"), None)).await;
    let connect = || tokio::net::TcpStream::connect(world.address);
    let held = (
        connect().await.expect("a connection"),
        connect().await.expect("a connection"),
    );
    let waiting = tokio::spawn(world.get("/v1/orders/7").send());
    // It is accepted by the system, but nobody answers.
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), async {
        while !waiting.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert!(early.await.is_err(), "more than two connections are served");
    drop(held);
    let answer = tokio::time::timeout(support::PATIENCE, waiting).await;
    let answer = answer.expect("in time").expect("no panic");
    assert_eq!(answer.expect("an answer").status(), 200);
}

//! Policies over a real port: who may call and how often, what is kept, encodings, pages of other origins, limits.

mod support;

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use alone::Signer;
use chassis::auth::Verifier;
use gateway::policy::{Policies, Settings};
use serde_json::{Value, json};
use support::{PATIENCE, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

fn settings(yaml: &str) -> Settings {
    Settings::parse(Path::new("policies.yaml"), yaml).expect("settings")
}

async fn world(yaml: &str) -> World {
    World::with(Policies::new(settings(yaml), None)).await
}

async fn guarded(yaml: &str) -> (World, Signer) {
    let signer = Signer::new();
    let policies = Policies::new(
        settings(yaml),
        Some(Verifier::new("caravan", signer.clone())),
    );
    (World::with(policies).await, signer)
}

async fn send(request: reqwest::RequestBuilder) -> reqwest::Response {
    request.send().await.expect("an answer")
}

fn header<'r>(response: &'r reqwest::Response, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test]
async fn who_may_not_call_is_refused_before_the_service_hears_of_it() {
    let (world, signer) = guarded("").await;
    let ada = signer.user(Uuid::now_v7(), &["customer"]);
    let order = |token: Option<&str>| {
        let request = world.get("/v1/orders/7");
        send(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    };
    let response = order(None).await;
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, "www-authenticate"), "Bearer");
    let problem: Value = response.json().await.expect("a problem");
    assert_eq!(
        (&problem["reason"], &problem["code"]),
        (&json!("TOKEN_MISSING"), &json!("UNAUTHENTICATED"))
    );

    for token in ["nonsense", &Signer::new().user(Uuid::now_v7(), &["admin"])] {
        let response = order(Some(token)).await;
        assert_eq!(response.status(), 401);
        assert_eq!(
            header(&response, "www-authenticate"),
            "Bearer error=\"invalid_token\""
        );
    }
    let create = world.post("/v1/products", "{}").bearer_auth(&ada);
    let response = send(create).await;
    assert_eq!(response.status(), 403);
    assert_eq!(
        header(&response, "www-authenticate"),
        "Bearer error=\"insufficient_scope\""
    );
    assert_eq!(world.fake.count(), 0);

    assert_eq!(order(Some(&ada)).await.status(), 200);
    // What is public takes no notice of a stale token.
    let products = world.get("/v1/products").bearer_auth("stale");
    assert_eq!(send(products).await.status(), 200);
}

#[tokio::test]
async fn operators_decide_who_may_call_a_route() {
    let yaml = "
routes:
  - {route: GET /v1/products, access: [admin]}
  - {route: caravan.ordering.v1.OrderingService/GetOrder, access: []}
";
    let (world, signer) = guarded(yaml).await;
    assert_eq!(send(world.get("/v1/products")).await.status(), 401);
    let admin = signer.user(Uuid::now_v7(), &["admin"]);
    assert_eq!(
        send(world.get("/v1/products").bearer_auth(&admin))
            .await
            .status(),
        200
    );
    assert_eq!(
        send(world.get("/v1/orders/7").bearer_auth(&admin))
            .await
            .status(),
        403
    );
    assert_eq!(
        send(world.get("/v1/orders").bearer_auth(&admin))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn each_caller_has_a_rate() {
    let (world, signer) = guarded("routes: [{route: GET /v1/orders, rate: 2/h}]").await;
    let (ada, bob) = (
        signer.user(Uuid::now_v7(), &[]),
        signer.user(Uuid::now_v7(), &[]),
    );
    let list = |token: &str| send(world.get("/v1/orders").bearer_auth(token));
    let first = list(&ada).await;
    assert_eq!(header(&first, "ratelimit-policy"), "\"route\";q=2;w=3600");
    assert_eq!(header(&first, "ratelimit"), "\"route\";r=1;t=1800");
    assert_eq!(list(&ada).await.status(), 200);
    let refused = list(&ada).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = header(&refused, "retry-after").parse().expect("seconds");
    assert!((1..=1800).contains(&wait), "{wait}");
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["reason"], "RATE_LIMITED");
    assert_eq!(world.fake.count(), 2);
    assert_eq!(list(&bob).await.status(), 200);
    // Another route is counted apart, by its class.
    let order = send(world.get("/v1/orders/7").bearer_auth(&ada)).await;
    assert_eq!(order.status(), 200);
    assert!(header(&order, "ratelimit-policy").starts_with("\"read\""));
}

#[tokio::test]
async fn addresses_are_believed_from_trusted_proxies_only() {
    for (trusted, third) in [("[]", 429), ("[127.0.0.0/8]", 200)] {
        let yaml =
            format!("{{trusted_proxies: {trusted}, rates: {{read: 2/h}}, disable: [cache]}}");
        let world = world(&yaml).await;
        let list = |from: &str| send(world.get("/v1/products").header("x-forwarded-for", from));
        assert_eq!(list("6.6.6.6, 1.1.1.1").await.status(), 200);
        assert_eq!(list("7.7.7.7, 1.1.1.1").await.status(), 200);
        assert_eq!(list("2.2.2.2").await.status(), third, "{trusted}");
        // What stands before the last address that a proxy wrote is anybody's word.
        assert_eq!(list("8.8.8.8, 1.1.1.1").await.status(), 429);
    }
}

#[tokio::test]
async fn public_answers_are_kept_and_revalidated() {
    let world = world("").await;
    let list = |path: &str| world.get(path);
    let first = send(list("/v1/products?page_size=3")).await;
    assert_eq!(header(&first, "cache-status"), "gateway; fwd=miss; stored");
    assert!(header(&first, "cache-control").starts_with("public, max-age="));
    let etag = header(&first, "etag").to_owned();
    let body = first.text().await.expect("text");
    let second = send(list("/v1/products?page_size=3")).await;
    assert_eq!(header(&second, "cache-status"), "gateway; hit");
    assert_eq!(second.text().await.expect("text"), body);
    assert_eq!(world.fake.count(), 1);

    let known = send(list("/v1/products?page_size=3").header("if-none-match", &etag)).await;
    assert_eq!(
        (known.status().as_u16(), header(&known, "etag")),
        (304, &*etag)
    );
    assert_eq!(known.text().await.expect("text"), "");
    let other = send(list("/v1/products?page_size=2").header("if-none-match", &etag)).await;
    assert_eq!(other.status(), 200);
    assert_eq!(world.fake.count(), 2);
    let fresh = send(list("/v1/products?page_size=3").header("cache-control", "no-cache")).await;
    assert_eq!(fresh.status(), 200);
    assert_eq!(world.fake.count(), 3);
}

#[tokio::test]
async fn a_change_forgets_what_was_kept() {
    let world = world("disable: [access]").await;
    let list = || send(world.get("/v1/products"));
    list().await;
    list().await;
    assert_eq!(world.fake.count(), 1);
    let change = world.client.patch(format!("{}/v1/products/7", world.url));
    let change = change
        .header("content-type", "application/json")
        .body(r#"{"name": "x"}"#);
    assert_eq!(send(change).await.status(), 200);
    let after = list().await;
    assert_eq!(header(&after, "cache-status"), "gateway; fwd=miss; stored");
    assert_eq!(world.fake.count(), 3);
}

#[tokio::test]
async fn callers_do_not_see_each_others_answers() {
    let yaml = "routes: [{route: GET /v1/orders, cache: {ttl: 1m}}]";
    let (world, signer) = guarded(yaml).await;
    let (ada, bob) = (
        signer.user(Uuid::now_v7(), &[]),
        signer.user(Uuid::now_v7(), &[]),
    );
    let list = |token: &str| send(world.get("/v1/orders").bearer_auth(token));
    for (token, calls) in [(&ada, 1), (&ada, 1), (&bob, 2), (&bob, 2), (&ada, 2)] {
        let response = list(token).await;
        assert!(header(&response, "cache-control").starts_with("private, max-age="));
        assert_eq!(header(&response, "vary"), "authorization");
        assert_eq!(world.fake.count(), calls);
    }
}

#[tokio::test]
async fn a_stale_answer_serves_while_the_service_is_away() {
    use std::sync::atomic::Ordering;

    let yaml = "routes: [{route: GET /v1/products, cache: {ttl: 0s, stale_if_error: 1m}}]";
    let world = world(yaml).await;
    let list = || send(world.get("/v1/products?page_size=1"));
    let body = list().await.text().await.expect("text");
    world.fake.is_away.store(true, Ordering::SeqCst);
    let stale = list().await;
    assert_eq!(header(&stale, "cache-status"), "gateway; hit; fwd=stale");
    assert_eq!(stale.text().await.expect("text"), body);
    assert_eq!(
        send(world.get("/v1/products?page_size=2")).await.status(),
        503
    );
    world.fake.is_away.store(false, Ordering::SeqCst);
    assert_eq!(
        header(&list().await, "cache-status"),
        "gateway; fwd=miss; stored"
    );
}

#[tokio::test]
async fn of_many_requests_for_the_same_one_asks() {
    let world = world("").await;
    let all = (0..40).map(|_| send(world.get("/v1/products?page_size=5")));
    for response in futures::future::join_all(all).await {
        assert_eq!(response.status(), 200);
    }
    assert_eq!(world.fake.count(), 1);
}

#[tokio::test]
async fn answers_are_compressed_as_the_client_likes() {
    let world = world("").await;
    let list = |accept: &str| {
        let request = world.get("/v1/products?page_size=60");
        send(request.header("accept-encoding", accept))
    };
    let plain = list("identity").await;
    assert_eq!(header(&plain, "content-encoding"), "");
    let vary: Vec<_> = plain.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["accept-encoding"]);
    let length = plain.bytes().await.expect("a body").len();
    for (accept, encoding) in [
        ("gzip", "gzip"),
        ("gzip, br", "br"),
        ("gzip, br, zstd", "zstd"),
        ("zstd;q=0.1, gzip;q=0.9", "gzip"),
    ] {
        let response = list(accept).await;
        assert_eq!(header(&response, "content-encoding"), encoding);
        assert!(response.bytes().await.expect("a body").len() * 3 < length);
    }
    let small = world.get("/v1/products").header("accept-encoding", "gzip");
    assert_eq!(header(&send(small).await, "content-encoding"), "");
}

#[tokio::test]
async fn pages_of_named_origins_may_call() {
    let yaml = "
disable: [access]
cors: {origins: [https://shop.example, 'https://*.shop.example'], credentials: true}
";
    let world = world(yaml).await;
    let preflight = |origin: &str| {
        let url = format!("{}/v1/orders", world.url);
        let request = world.client.request(reqwest::Method::OPTIONS, url);
        let request = request.header("access-control-request-method", "POST");
        send(request.header("origin", origin))
    };
    for origin in ["https://shop.example", "https://de.shop.example"] {
        let response = preflight(origin).await;
        assert_eq!(response.status(), 204);
        assert_eq!(header(&response, "access-control-allow-origin"), origin);
        assert_eq!(
            header(&response, "access-control-allow-credentials"),
            "true"
        );
        assert!(header(&response, "access-control-allow-methods").contains("POST"));
        assert!(header(&response, "access-control-allow-headers").contains("idempotency-key"));
        assert_eq!(header(&response, "access-control-max-age"), "600");
    }
    let evil = preflight("https://evil.example").await;
    assert_eq!(header(&evil, "access-control-allow-origin"), "");
    assert_eq!(header(&evil, "access-control-allow-methods"), "");

    // Failures too can be read.
    let missing = world
        .get("/v1/orders/missing")
        .header("origin", "https://shop.example");
    let missing = send(missing).await;
    assert_eq!(missing.status(), 404);
    assert_eq!(
        header(&missing, "access-control-allow-origin"),
        "https://shop.example"
    );
    assert!(header(&missing, "vary").contains("origin"));
    assert!(header(&missing, "access-control-expose-headers").contains("ratelimit"));
}

#[tokio::test]
async fn request_ids_are_kept_where_they_are_valid() {
    let world = world("").await;
    let list = |id: &str| send(world.get("/v1/products").header("x-request-id", id));
    assert_eq!(header(&list("abc-123").await, "x-request-id"), "abc-123");
    let bad = list(&"x".repeat(500)).await;
    let made = header(&bad, "x-request-id");
    assert!(!made.is_empty() && made.len() < 100, "{made}");
}

/// Sends bytes and returns what comes until the connection ends.
async fn raw(world: &World, parts: &[&str]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(world.address)
            .await
            .expect("a connection");
        for part in parts {
            stream.write_all(part.as_bytes()).await.expect("sent");
        }
        let mut answer = String::new();
        // A reset is an end too.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("in time")
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let yaml = "
disable: [access]
limits: {headers: 8KiB, header_count: 10, header_timeout: 300ms, body_timeout: 300ms}
routes: [{route: POST /v1/orders, body: 100}]
";
    let world = world(yaml).await;
    let large = world.post(
        "/v1/orders",
        &format!("{{\"note\": \"{}\"}}", "x".repeat(100)),
    );
    assert_eq!(send(large).await.status(), 413);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep = world.post("/v1/sessions", &format!("{{\"email\": {deep}}}"));
    assert_eq!(send(deep).await.status(), 400);

    let mut many = world.get("/v1/products");
    for index in 0..20 {
        many = many.header(format!("x-{index}"), "1");
    }
    assert_eq!(send(many).await.status(), 431);
    let long = format!(
        "GET /v1/products HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let answer = raw(&world, &[&long]).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );

    // Headers that do not end: the connection does.
    let answer = raw(&world, &["GET /v1/products HTTP/1.1\r\nhost: a\r\n"]).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    // A body that does not come.
    let head =
        "POST /v1/sessions HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 50\r\n\r\n{";
    let answer = raw(&world, &[head]).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_mistake_in_the_file_is_a_start_up_error_that_names_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policies.yaml");
    for (text, place, what) in [
        (
            "routes:\n  - route: GET /v1/prodcts\n",
            "2:12",
            "GET /v1/prodcts",
        ),
        ("rates:\n  reed: 5/s\n", "2:3", "reed"),
        ("cache: {max_bytes: much}\n", "1:20", "`much` is no size"),
    ] {
        let mut written = std::fs::File::create(&file).expect("a file");
        written.write_all(text.as_bytes()).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--policies"])
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .expect("the gateway runs");
        assert_eq!(output.status.code(), Some(2), "{text}");
        let told = String::from_utf8_lossy(&output.stderr);
        let place = format!("{}:{place}: ", file.display());
        assert!(
            told.contains(&place) && told.contains(what),
            "{told}\n{place}"
        );
    }
}

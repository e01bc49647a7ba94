//! One request, one answer: fields, statuses, headers and problems, over real ports.

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::policy::{Policies, Settings, Switches};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use support::{Fake, World, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

async fn problem(response: reqwest::Response) -> Value {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let status = response.status().as_u16();
    let id = response.headers()["x-request-id"]
        .to_str()
        .expect("ASCII")
        .to_owned();
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["requestId"], id);
    problem
}

#[tokio::test]
async fn an_order_is_placed() {
    let world = World::start().await;
    let json = r#"{"lines": [{"sku": "tea", "quantity": "2"}], "paymentMethod": "pm_card_visa"}"#;
    let request = world
        .post("/v1/orders", json)
        .header("authorization", "Bearer abc")
        .header("idempotency-key", "k-1")
        .header("x-request-id", "r-1")
        .header("prefer", "wait=5")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("caravan-saga-id", "forged")
        .header("cookie", "secret");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["location"], "/v1/orders/o%201%2F2");
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["x-request-id"], "r-1");
    let order: Value = response.json().await.expect("JSON");
    assert_eq!(order["orderId"], "o 1/2");
    assert_eq!(order["status"], "ORDER_STATUS_PENDING");
    assert_eq!(order["customerName"], "");
    assert_eq!(
        order["lines"][0]["unitPrice"],
        json!({"currencyCode": "EUR", "minorUnits": "450"})
    );
    assert_eq!(order.get("rejection"), None);

    let placed = world.fake.placed.lock().expect("placed")[0].clone();
    assert_eq!(
        (placed.lines[0].sku.as_str(), placed.lines[0].quantity),
        ("tea", 2)
    );
    assert_eq!(placed.payment_method, "pm_card_visa");
    let metadata = world.fake.last_call();
    assert_eq!(metadata["authorization"], "Bearer abc");
    assert_eq!(metadata["idempotency-key"], "k-1");
    assert_eq!(metadata["x-request-id"], "r-1");
    assert_eq!(metadata["prefer"], "wait=5");
    assert_eq!(metadata["x-forwarded-for"], "127.0.0.1");
    assert_eq!(metadata["grpc-timeout"], "30000m");
    let trace = metadata["traceparent"].to_str().expect("ASCII");
    assert!(
        trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{trace}"
    );
    for stays_outside in ["caravan-saga-id", "cookie"] {
        assert!(!metadata.contains_key(stays_outside));
    }
}

#[tokio::test]
async fn path_and_query_become_fields() {
    let world = World::start().await;
    let response = world
        .get("/v1/orders/a%2Fb%20c")
        .send()
        .await
        .expect("an answer");
    let order: Value = response.json().await.expect("JSON");
    assert_eq!(order["orderId"], "a/b c");

    let response = world
        .get("/v1/orders?pageSize=5&page_token=x+y%26z")
        .send()
        .await;
    let orders: Value = response.expect("an answer").json().await.expect("JSON");
    assert_eq!(orders, json!({"orders": [], "nextPageToken": ""}));
    let listed = world.fake.listed.lock().expect("listed")[0].clone();
    assert_eq!((listed.page_size, listed.page_token.as_str()), (5, "x y&z"));

    for body in ["{}", ""] {
        let response = world
            .post("/v1/orders/7:cancel", body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200, "{body:?}");
    }
    let response = world
        .get("/v1/orders/nothing")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.text().await.expect("text"), "null");
}

#[tokio::test]
async fn a_patch_says_what_it_changes() {
    let world = World::start().await;
    let patch = |path: &str, json: &str| {
        let request = world
            .client
            .patch(format!("{}/v1/products/{path}", world.url));
        request
            .header("content-type", "application/json")
            .body(json.to_owned())
            .send()
    };
    for (path, json, paths) in [
        (
            "p1",
            r#"{"name": "Tea", "price": {"minorUnits": 5}}"#,
            &["name", "price.minor_units"][..],
        ),
        (
            "p1",
            r#"{"description": null, "price": {}}"#,
            &["description", "price"],
        ),
        ("p1", "{}", &[]),
        ("p1?updateMask=name", r#"{"name": "Tea"}"#, &["name"]),
    ] {
        let response = patch(path, json).await.expect("an answer");
        assert_eq!(response.status(), 200, "{json}");
        let updated = world
            .fake
            .updated
            .lock()
            .expect("updated")
            .pop()
            .expect("an update");
        assert_eq!(updated.update_mask.expect("a mask").paths, paths, "{json}");
        assert_eq!(updated.product.expect("a product").product_id, "p1");
    }
    let response = patch("p1", r#"{"productId": "p2"}"#)
        .await
        .expect("an answer");
    let problem = problem(response).await;
    assert_eq!(problem["violations"][0]["field"], "productId");
}

#[tokio::test]
async fn bad_input_is_told_with_its_place() {
    let world = World::start().await;
    let line = |line: &str| format!(r#"{{"lines": [{{"sku": "tea", "quantity": 1}}, {line}]}}"#);
    for (json, field) in [
        ("{\"lines\": [", "lines[0]"),
        ("nonsense", "body"),
        ("[]", "body"),
        (r#"{"lines": {}}"#, "lines"),
        (r#"{"line": []}"#, "line"),
        (r#"{"total": {"minorUnits": 1}}"#, "total"),
        (&line(r#"{"quantity": 1.5}"#), "lines[1].quantity"),
        (&line(r#"{"quantity": 3000000000}"#), "lines[1].quantity"),
        (&line(r#"{"quantity": true}"#), "lines[1].quantity"),
        (&line(r#"{"sku": 5}"#), "lines[1].sku"),
        (&line("null"), "lines[1]"),
        (
            r#"{"paymentMethod": "a", "payment_method": "b"}"#,
            "paymentMethod",
        ),
    ] {
        let response = world
            .post("/v1/orders", json)
            .send()
            .await
            .expect("an answer");
        assert_eq!(response.status(), 400, "{json}");
        let problem = problem(response).await;
        assert_eq!(
            problem["violations"][0]["field"], field,
            "{json}: {problem}"
        );
        assert_eq!(problem["reason"], "INVALID_REQUEST");
    }
    for (path, field) in [
        ("/v1/orders?pageSize=x", "pageSize"),
        ("/v1/orders?page_size=1&pageSize=2", "pageSize"),
        ("/v1/orders?nope=1", "nope"),
        ("/v1/orders/%zz", "orderId"),
        ("/v1/orders/%ff", "orderId"),
        ("/v1/orders/1?orderId=2", "orderId"),
    ] {
        let response = world.get(path).send().await.expect("an answer");
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(
            problem(response).await["violations"][0]["field"],
            field,
            "{path}"
        );
    }
    let response = world
        .post("/v1/orders?pageSize=1", "{}")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 400);
    assert!(world.fake.placed.lock().expect("placed").is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let world = World::start().await;
    let response = world.get("/v1/nothing").send().await.expect("an answer");
    assert_eq!(response.status(), 404);
    assert_eq!(problem(response).await["reason"], "ROUTE_NOT_FOUND");

    let request = world.client.delete(format!("{}/v1/orders", world.url));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, HEAD, POST");

    let request = world
        .client
        .post(format!("{}/v1/orders", world.url))
        .body("sku=tea");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(request.send().await.expect("an answer").status(), 415);

    let request = world
        .post("/v1/orders", "{}")
        .header("content-encoding", "gzip");
    assert_eq!(request.send().await.expect("an answer").status(), 415);

    let too_large = "x".repeat(gateway::policy::Limits::default().body_bytes + 1);
    let response = world
        .post("/v1/orders", &too_large)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 413);

    let request = world.client.head(format!("{}/v1/orders/7", world.url));
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_ne!(response.headers()["content-length"], "0");
    assert_eq!(response.text().await.expect("text"), "");

    let response = world.get("/v1/sagas").send().await.expect("an answer");
    assert_eq!(response.status(), 503, "no upstream is configured");
}

#[tokio::test]
async fn a_status_becomes_a_problem() {
    let world = World::start().await;
    let get = async |id: &str| {
        let response = world
            .get(&format!("/v1/orders/{id}"))
            .send()
            .await
            .expect("an answer");
        let headers = response.headers().clone();
        (headers, problem(response).await)
    };
    let (_, missing) = get("missing").await;
    assert_eq!(missing["status"], 404);
    assert_eq!(missing["code"], "NOT_FOUND");
    assert_eq!(missing["reason"], "ORDER_NOT_FOUND");
    assert_eq!(missing["detail"], "no such order");
    assert_eq!(
        missing["details"][0]["@type"],
        "type.googleapis.com/google.rpc.ErrorInfo"
    );
    assert_eq!(missing["details"][0]["metadata"]["id"], "missing");

    let (_, invalid) = get("invalid").await;
    assert_eq!(invalid["status"], 400);
    let violations = json!([{"field": "order_id", "description": "must be a UUID"}]);
    assert_eq!(invalid["violations"], violations);

    let (_, broken) = get("broken").await;
    assert_eq!(broken["status"], 500);
    assert!(!broken.to_string().contains("secrets"), "{broken}");

    let (headers, anonymous) = get("anonymous").await;
    assert_eq!(anonymous["status"], 401);
    assert_eq!(headers["www-authenticate"], "Bearer");

    let (headers, busy) = get("busy").await;
    assert_eq!(busy["status"], 429);
    assert_eq!(headers["retry-after"], "1");
}

#[tokio::test]
async fn a_large_answer_passes_whole() {
    let world = World::start().await;
    let response = world
        .get("/v1/orders/large")
        .send()
        .await
        .expect("an answer");
    let order: Value = response.json().await.expect("JSON");
    assert_eq!(
        order["customerName"].as_str().expect("text").len(),
        3_000_000
    );
}

#[tokio::test]
async fn a_deadline_ends_the_call() {
    let world = World::start().await;
    let start = Instant::now();
    let request = world
        .get("/v1/orders/slow")
        .header("x-request-timeout", "100ms");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 504);
    assert_eq!(problem(response).await["code"], "DEADLINE_EXCEEDED");
    assert!(start.elapsed() < Duration::from_secs(5));
    until("the call is cancelled", || running(&world) == 0).await;

    let request = world
        .get("/v1/orders/7")
        .header("x-request-timeout", "soon");
    assert_eq!(request.send().await.expect("an answer").status(), 400);
}

fn running(world: &World) -> usize {
    world.fake.running.load(std::sync::atomic::Ordering::SeqCst)
}

#[tokio::test]
async fn a_client_that_goes_cancels_the_call() {
    let world = World::start().await;
    let mut socket = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let request = b"GET /v1/orders/slow HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(request).await.expect("sent");
    until("the call runs", || running(&world) == 1).await;
    drop(socket);
    until("the call is cancelled", || running(&world) == 0).await;
}

#[tokio::test]
async fn an_upstream_that_is_away_is_503_and_may_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let world = World::in_front_of(Fake::default(), address).await;
    let response = world.get("/v1/orders/7").send().await.expect("an answer");
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    let problem = problem(response).await;
    assert_eq!(problem["reason"], "UPSTREAM_UNAVAILABLE");
    assert!(
        !problem.to_string().contains(&address.port().to_string()),
        "{problem}"
    );

    let listener = TcpListener::bind(address).await.expect("the same port");
    support::serve_upstream(world.fake.clone(), listener, world.upstream.clone());
    let response = world.get("/v1/orders/7").send().await.expect("an answer");
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_too() {
    let world = World::start().await;
    let socket = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::get(format!("{}/v1/orders/7", world.url));
    let request = request.body(Empty::<Bytes>::new()).expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn an_odd_request_id_is_replaced() {
    let world = World::start().await;
    for odd in ["a b", "", &"x".repeat(300)] {
        let request = world.get("/v1/orders/7").header("x-request-id", odd);
        let response = request.send().await.expect("an answer");
        let id = response.headers()["x-request-id"].clone();
        assert_ne!(id, odd);
        assert_eq!(world.fake.last_call()["x-request-id"], id);
    }
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let world = World::start().await;
    let mut socket = TcpStream::connect(world.address)
        .await
        .expect("a connection");
    let request = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let _ = socket.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_document_describes_the_routes() {
    let world = World::start().await;
    let response = world.get("/openapi.json").send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "application/json");
    let document: Value = response.json().await.expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let place = &document["paths"]["/v1/orders"]["post"];
    assert_eq!(place["operationId"], "OrderingService_PlaceOrder");
    assert_eq!(place["security"], json!([{"bearer": []}]));
    assert!(place["responses"]["201"]["headers"]["Location"].is_object());
    let list = &document["paths"]["/v1/orders"]["get"]["parameters"];
    assert_eq!(list[0]["name"], "pageSize");
    assert_eq!(list[0]["schema"]["maximum"], 100);
    let get = &document["paths"]["/v1/orders/{orderId}"]["get"]["parameters"][0];
    assert_eq!(
        (get["name"].as_str(), get["in"].as_str()),
        (Some("orderId"), Some("path"))
    );
    assert!(document["paths"]["/v1/orders/{orderId}:watch"]["get"].is_object());
    let session = &document["paths"]["/v1/sessions"]["post"];
    assert_eq!(session["security"], json!([]));
    let order = &document["components"]["schemas"]["caravan.ordering.v1.Order"];
    assert_eq!(order["description"], "What a customer buys.");
}

#[tokio::test]
async fn documents_are_compressed_and_told_by_their_tags() {
    let settings = Settings {
        switches: Switches {
            compression: true,
            ..Settings::off().switches
        },
        ..Settings::off()
    };
    let world = World::with(Policies::new(settings, None)).await;
    for path in ["/openapi.json", "/docs"] {
        let plain = world.get(path).send().await.expect("an answer");
        let (tag, plain_length) = (
            plain.headers()["etag"].clone(),
            plain.content_length().expect("a length"),
        );
        assert!(!plain.headers().contains_key("content-encoding"), "{path}");
        for encoding in ["gzip", "br", "zstd"] {
            let request = world.get(path).header("accept-encoding", encoding);
            let packed = request.send().await.expect("an answer");
            assert_eq!(packed.headers()["content-encoding"], encoding, "{path}");
            assert_eq!(packed.headers()["vary"], "accept-encoding", "{path}");
            assert_eq!(packed.headers()["etag"], tag, "{path}");
            let length = packed.bytes().await.expect("a body").len() as u64;
            assert!(length * 3 < plain_length, "{path} {encoding}: {length}");
        }
        let again = world.get(path).header("if-none-match", &tag);
        let again = again.send().await.expect("an answer");
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(again.headers()["etag"], tag, "{path}");
        assert!(again.bytes().await.expect("a body").is_empty(), "{path}");
        let other = world.get(path).header("if-none-match", "\"other\"");
        assert_eq!(other.send().await.expect("an answer").status(), 200);
    }
}

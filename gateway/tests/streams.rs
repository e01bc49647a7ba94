//! Server streams: formats, failures before and after the first message, slow and vanished clients, drain.

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::Value;
use support::{PATIENCE, World, until};

async fn watch(world: &World, id: &str, accept: &str) -> reqwest::Response {
    let request = world
        .get(&format!("/v1/orders/{id}:watch"))
        .header("accept", accept);
    request.send().await.expect("an answer")
}

#[tokio::test]
async fn each_format_carries_the_messages() {
    let world = World::start().await;
    let response = watch(&world, "7", "*/*").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let text = response.text().await.expect("text");
    let events: Vec<_> = text.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 2, "{text}");
    for (index, (event, id)) in events.iter().zip(["a", "b"]).enumerate() {
        let (first, data) = event.split_once('\n').expect("two lines");
        assert_eq!(first, format!("id: {}", index + 1));
        let order: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(order["orderId"], id);
    }

    let response = watch(&world, "7", "application/x-ndjson").await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.expect("text");
    let orders: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(orders.len(), 2);

    let response = watch(&world, "7", "application/json").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let orders: Vec<Value> = response.json().await.expect("a JSON array");
    assert_eq!(orders[1]["orderId"], "b");

    let response = watch(&world, "empty", "application/json").await;
    assert_eq!(response.text().await.expect("text"), "[]");
    assert_eq!(watch(&world, "7", "text/html").await.status(), 406);
}

#[tokio::test]
async fn a_failure_before_the_first_message_is_an_http_error() {
    let world = World::start().await;
    for id in ["fails-at-once", "fails-first"] {
        let response = watch(&world, id, "text/event-stream").await;
        assert_eq!(response.status(), 404, "{id}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
}

#[tokio::test]
async fn a_failure_later_is_the_last_record() {
    let world = World::start().await;
    let text = watch(&world, "fails-later", "text/event-stream")
        .await
        .text()
        .await
        .expect("text");
    let last = text.trim_end().rsplit("\n\n").next().expect("an event");
    let problem = last
        .strip_prefix("event: error\ndata: ")
        .expect("an error event");
    let problem: Value = serde_json::from_str(problem).expect("JSON");
    assert_eq!(
        (problem["status"].as_u64(), problem["code"].as_str()),
        (Some(409), Some("ABORTED"))
    );

    let text = watch(&world, "fails-later", "application/x-ndjson")
        .await
        .text()
        .await
        .expect("text");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["error"]["code"], "ABORTED");

    let items: Vec<Value> = watch(&world, "fails-later", "application/json")
        .await
        .json()
        .await
        .expect("an array");
    assert_eq!(items.len(), 3);
    assert_eq!(items[2]["error"]["detail"], "came apart");
}

#[tokio::test]
async fn the_first_message_comes_at_once_and_a_client_that_goes_cancels() {
    let world = World::start().await;
    let mut response = watch(&world, "hangs", "text/event-stream").await;
    let first = tokio::time::timeout(PATIENCE, response.chunk())
        .await
        .expect("in time");
    assert!(
        first
            .expect("a chunk")
            .expect("data")
            .starts_with(b"id: 1\ndata: ")
    );
    assert_eq!(world.fake.running.load(Ordering::SeqCst), 1);
    drop(response);
    until("the stream is cancelled", || {
        world.fake.running.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn a_slow_client_holds_the_service_back() {
    let world = World::start().await;
    let response = watch(&world, "endless", "application/x-ndjson").await;
    // The count stands still once every buffer on the way is full.
    let sent = || world.fake.sent.load(Ordering::SeqCst);
    let mut before = 0;
    let stands_still = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = sent();
            if now > 0 && now == before {
                return now;
            }
            before = now;
        }
    };
    let stopped_at = tokio::time::timeout(PATIENCE, stands_still)
        .await
        .expect("it stops");
    assert!(
        stopped_at * 10_000 < 64 * 1024 * 1024,
        "{stopped_at} messages are buffered"
    );
    drop(response);
    until("the stream is cancelled", || {
        world.fake.running.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn a_deadline_ends_a_stream_in_band() {
    let world = World::start().await;
    let request = world
        .get("/v1/orders/hangs:watch")
        .header("x-request-timeout", "300ms");
    let text = request
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    assert!(
        text.contains("event: error\n") && text.contains("DEADLINE_EXCEEDED"),
        "{text}"
    );
}

#[tokio::test]
async fn a_drain_ends_streams_and_says_so() {
    let world = World::start().await;
    let mut response = watch(&world, "hangs", "text/event-stream").await;
    response.chunk().await.expect("a chunk");
    world.drain.cancel();
    let rest = tokio::time::timeout(PATIENCE, response.text())
        .await
        .expect("in time");
    let rest = rest.expect("text");
    assert!(
        rest.contains("event: error\n") && rest.contains("UNAVAILABLE"),
        "{rest}"
    );
    until("nothing accepts", || {
        std::net::TcpStream::connect(world.address).is_err()
    })
    .await;
}

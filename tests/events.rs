//! What happens is told as events, and one request can be followed through the whole mesh.

use std::{collections::BTreeSet, time::Duration};

use async_nats::jetstream::{self, consumer::pull, message::Message};
use contracts::caravan::ordering::v1::OrderConfirmed;
use futures::StreamExt;
use kit::{
    World,
    rest::{Answer, send},
    shop::{Order, Status, an_order},
    wait::until,
};
use prost::Message as _;
use serde_json::Value;

kit::stories!(
    events_carry_their_envelope_in_headers,
    one_request_is_followed_through_the_mesh,
);

/// Longest wait for an event that was caused already.
const EVENT_WITHIN: Duration = Duration::from_secs(30);

/// The first message on a subject of a service's stream.
async fn first(world: &World, stream: &str, subject: &str) -> Message {
    let address = world
        .process("nats-server")
        .nats
        .expect("the broker listens");
    let client = async_nats::connect(address)
        .await
        .expect("the broker answers");
    let stream = jetstream::new(client)
        .get_stream(stream)
        .await
        .expect("the stream is there");
    let config = pull::Config {
        filter_subject: subject.into(),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let mut messages = consumer.messages().await.expect("messages");
    let next = tokio::time::timeout(EVENT_WITHIN, messages.next()).await;
    next.expect("an event in time")
        .expect("a message")
        .expect("no fault")
}

fn header(message: &Message, name: &str) -> String {
    let headers = message.headers.as_ref().expect("an event has headers");
    let value = headers.get(name);
    value.map(ToString::to_string).unwrap_or_default()
}

async fn events_carry_their_envelope_in_headers(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let order = ada.place(an_order().line(&sku, 2).wait(30)).await;
    assert_eq!(order.status, Status::Confirmed.name());

    let event = first(world, "ORDERING", "ordering.order.confirmed.v1").await;
    let id = header(&event, "ce-id");
    assert_eq!(header(&event, "Nats-Msg-Id"), id);
    assert_eq!(
        (id.len(), id.as_bytes()[14]),
        (36, b'7'),
        "{id} is a UUIDv7"
    );
    assert_eq!(header(&event, "ce-specversion"), "1.0");
    assert_eq!(header(&event, "ce-source"), "/caravan/ordering");
    assert_eq!(
        header(&event, "ce-type"),
        "caravan.ordering.v1.OrderConfirmed"
    );
    assert_eq!(header(&event, "ce-subject"), order.order_id);
    assert!(
        header(&event, "ce-time").ends_with('Z'),
        "{}",
        header(&event, "ce-time")
    );
    assert_eq!(header(&event, "content-type"), "application/protobuf");
    let trace: Vec<_> = header(&event, "traceparent")
        .split('-')
        .map(str::len)
        .collect();
    assert_eq!(trace, [2, 32, 16, 2]);

    let payload = OrderConfirmed::decode(event.payload.clone()).expect("protobuf");
    assert_eq!(payload.order_id, order.order_id);
    assert_eq!(payload.customer_id, ada.account_id);
    assert_eq!(payload.lines.len(), 1);
    assert_eq!(payload.total.expect("a total").minor_units, 2500);
}

/// Names of the services that logged a line with this value in this field.
fn who_logged(world: &World, field: &str, value: &str) -> BTreeSet<String> {
    let lines = world.log().into_iter();
    let lines = lines.filter(|line| line[field] == value);
    let service = |line: Value| line["service"].as_str().unwrap_or_default().to_owned();
    lines.map(service).collect()
}

async fn one_request_is_followed_through_the_mesh(world: &World) {
    let sku = world.product("coffee", 1250, 10).await;
    let ada = world.customer("ada").await;
    let request_id = "story-of-one-request";
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = ada.order_request(&an_order().line(&sku, 1));
    let request = request.header("x-request-id", request_id);
    let request = request.header("traceparent", format!("00-{trace_id}-00f067aa0ba902b7-01"));
    let answer: Answer = send(request).await.expect(201);
    assert_eq!(answer.header("x-request-id"), request_id);
    ada.until(&answer.read::<Order>(), Status::Confirmed).await;

    let all = [
        "catalog",
        "gateway",
        "inventory",
        "ordering",
        "payment",
        "saga",
    ];
    for (field, value) in [("request_id", request_id), ("trace_id", trace_id)] {
        until(field, || async {
            let who = who_logged(world, field, value);
            match all.iter().find(|service| !who.contains(**service)) {
                Some(missing) => Err(format!("{missing} has no line; {who:?} have")),
                None => Ok(()),
            }
        })
        .await;
    }
    let event = first(world, "ORDERING", "ordering.order.placed.v1").await;
    assert_eq!(header(&event, "x-request-id"), request_id);
    assert_eq!(
        header(&event, "traceparent").split('-').nth(1),
        Some(trace_id)
    );

    // A request without an id gets one, and secrets are in no line.
    let answer = ada.rest.get("/v1/orders").await.expect(200);
    assert!(!answer.header("x-request-id").is_empty());
    let log: String = world.log().iter().map(Value::to_string).collect();
    for secret in [ada.rest.token().expect("logged in"), kit::shop::PASSWORD] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

//! What happens is told as events, and one request can be followed through the whole mesh.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{self, consumer::pull, message::Message},
};
use contracts::caravan::ordering::v1::OrderConfirmed;
use futures::StreamExt;
use kit::{
    World,
    mesh::caravan,
    rest::{Answer, send},
    shop::{Order, Status, an_order},
    wait::until,
};
use prost::Message as _;
use serde_json::Value;

kit::stories!(
    events_carry_their_envelope_in_headers,
    one_request_is_followed_through_the_mesh,
    operators_look_after_events_on_the_command_line,
    what_is_mended_is_handled_after_all,
);

/// Longest wait for an event that was caused already.
const EVENT_WITHIN: Duration = Duration::from_secs(30);

async fn broker(world: &World) -> jetstream::Context {
    let address = world
        .process("nats-server")
        .nats
        .expect("the broker listens");
    let client = async_nats::connect(address)
        .await
        .expect("the broker answers");
    jetstream::new(client)
}

/// The first message on a subject of a service's stream.
async fn first(world: &World, stream: &str, subject: &str) -> Message {
    let stream = broker(world)
        .await
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

/// Runs `caravan` on this mesh: whether it ended with exit code 0, and what it printed, line by line.
fn run(world: &World, arguments: &[&str]) -> (bool, Vec<String>) {
    let output = caravan()
        .args(arguments)
        .arg("--home")
        .arg(world.mesh_home())
        .stdin(Stdio::null())
        .output()
        .expect("the caravan binary lies beside the tests");
    let text = String::from_utf8_lossy(&output.stdout);
    if text.is_empty() {
        eprintln!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    (
        output.status.success(),
        text.lines().map(str::to_owned).collect(),
    )
}

fn events(world: &World, arguments: &[&str]) -> (bool, Vec<String>) {
    run(world, &[&["events"], arguments].concat())
}

fn register(world: &World, definition: &str) {
    let file = world.mesh_home().join("definition.yaml");
    std::fs::write(&file, definition).expect("a writable folder");
    let file = file.to_str().expect("a path in UTF-8");
    let (ok, said) = run(world, &["saga", "register", file]);
    assert!(ok, "{said:?}");
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).expect("JSON")
}

async fn operators_look_after_events_on_the_command_line(world: &World) {
    let consumer = "ordering-on_account_registered";
    for name in ["ada", "bob", "eve"] {
        world.customer(name).await;
    }
    first(world, "IDENTITY", "identity.account.registered.v1").await;

    // What somebody else puts on the subject is no event of ours.
    let event_id = "01890000-0000-7000-8000-000000000001";
    let mut headers = HeaderMap::new();
    headers.insert("ce-id", event_id);
    headers.insert("ce-type", "caravan.identity.v1.AccountRegistered");
    headers.insert("ce-subject", "nobody");
    let jetstream = broker(world).await;
    let subject = "identity.account.registered.v1";
    let ack = jetstream
        .publish_with_headers(subject, headers, "no protobuf".into())
        .await;
    ack.expect("sent").await.expect("stored");
    until("it is a dead letter", || async {
        match events(world, &["dlq", "list", "--json"]) {
            (true, lines) if lines.len() == 1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let (_, listed) = events(world, &["dlq", "list", "--consumer", consumer]);
    assert!(listed[0].contains("DATA_LOSS"), "{listed:?}");
    let (ok, shown) = events(world, &["dlq", "show", consumer, event_id, "--json"]);
    assert!(ok, "{shown:?}");
    let shown = json(&shown[0]);
    assert_eq!(shown["aggregateId"], "nobody");
    assert_eq!(shown["headers"]["ce-id"], event_id);
    // It cannot be handled now either, and the exit code says so.
    let (ok, said) = events(world, &["dlq", "redrive", consumer, event_id]);
    assert!(!ok && said == ["0 handled, 1 failed again"], "{said:?}");
    let (ok, said) = events(world, &["dlq", "redrive", "ordering-on_account_closed"]);
    assert!(ok && said == ["0 handled, 0 failed again"], "{said:?}");

    // Everybody has had everything.
    let (ok, said) = events(world, &["replay", consumer, "--from", "1h"]);
    assert!(
        ok && said[0].contains(" 0 handled for the first time"),
        "{said:?}"
    );

    // An event that is taken out of the stream is missed, and sent again.
    let verify = |arguments: &[&str]| {
        let (ok, lines) = events(
            world,
            &[&["verify", "--json", "--service", "identity"], arguments].concat(),
        );
        (ok, json(&lines[0]))
    };
    let is_complete = async |what: &str| {
        until(what, || async {
            match verify(&[]) {
                (true, said) if said["unsent"] == 0 => Ok(()),
                other => Err(other),
            }
        })
        .await;
    };
    is_complete("outbox and stream are the same").await;
    let stream = jetstream.get_stream("IDENTITY").await.expect("there");
    let last = stream.get_info().await.expect("info").state.last_sequence;
    let mut found = None;
    // The publisher looks now and then by itself, and may be quicker with one of them.
    for sequence in 2..last {
        let message = stream.get_raw_message(sequence).await;
        if message.is_ok_and(|message| message.subject.as_str() == subject) {
            stream.delete_message(sequence).await.expect("deleted");
            let (ok, said) = verify(&[]);
            if !ok && said["missingEvents"][0]["streamSequence"] == sequence {
                found = Some(sequence);
                break;
            }
        }
    }
    assert!(found.is_some(), "verify finds what is missing");
    let (ok, said) = verify(&["--repair"]);
    assert!(ok, "{said}");
    is_complete("it is in the stream again").await;
}

/// Starts a saga for each new account; the key is what the test says.
fn greeting(key: &str) -> String {
    format!(
        "
name: greeting
trigger:
  subject: identity.account.registered.v1
  key: {key}
steps:
  - name: wait
    wait_for: {{signal: never, timeout: 3600s}}
"
    )
}

async fn what_is_mended_is_handled_after_all(world: &World) {
    register(world, &greeting("\"''\""));
    let ada = world.customer("ada").await;
    let consumer = "saga-greeting-identity-account-registered-v1";
    let listed = || events(world, &["dlq", "list", "--consumer", consumer, "--json"]);
    let letter = until("it is a dead letter", || async {
        let (ok, lines) = listed();
        let letters = lines.iter().map(|line| json(line));
        let of_ada = letters
            .into_iter()
            .find(|letter| letter["aggregateId"] == ada.account_id);
        of_ada.filter(|_| ok).ok_or(lines)
    })
    .await;
    let event_id = letter["eventId"].as_str().expect("an id");
    let redrive = || events(world, &["dlq", "redrive", consumer, event_id]);
    let (ok, said) = redrive();
    assert!(!ok && said == ["0 handled, 1 failed again"], "{said:?}");

    register(world, &greeting("trigger.account_id"));
    let (ok, said) = redrive();
    assert!(ok && said == ["1 handled, 0 failed again"], "{said:?}");
    let show = format!("greeting/{}", ada.account_id);
    assert!(run(world, &["saga", "show", &show]).0, "its saga is there");
    let (ok, said) = redrive();
    assert!(ok && said == ["0 handled, 0 failed again"], "{said:?}");
    // Those of other accounts too, at once.
    let (ok, _) = events(world, &["dlq", "redrive"]);
    assert!(ok);
    assert_eq!(listed(), (true, Vec::new()));
}

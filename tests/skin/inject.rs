//! Strings that mean something to a database, an expression, a log or a broker, in every field, filter and cursor.

use kit::World;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use serde_json::{Value as Json, json};
use tonic::Code;

use crate::{
    access::Objects,
    change::{self, TEXTS},
    contract::{self, Rpc, escape, sample},
    people::{People, Who},
    wire::{self, Wire},
};

/// Rpcs whose every call costs a password hash: they get a few of the strings only.
const HASHING_TEXTS: usize = 3;

/// The places of all strings in a message: paths of field numbers and list places.
fn strings(message: &DynamicMessage) -> Vec<Vec<u32>> {
    let mut places = Vec::new();
    for (field, value) in message.fields() {
        let inner = match value {
            Value::String(_) => vec![Vec::new()],
            Value::Message(inner) => strings(inner),
            Value::List(items) => match items.first() {
                Some(Value::String(_)) => vec![Vec::new()],
                Some(Value::Message(inner)) => strings(inner),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        places.extend(
            inner
                .into_iter()
                .map(|rest| [vec![field.number()], rest].concat()),
        );
    }
    places
}

/// Puts a text at one of these places.
fn put(message: &mut DynamicMessage, place: &[u32], text: &str) {
    let Some((number, rest)) = place.split_first() else {
        return;
    };
    let field = message.descriptor().get_field(*number);
    let field = field.expect("its own place");
    let value = message.get_field_mut(&field);
    match value {
        Value::String(value) => *value = text.to_owned(),
        Value::Message(inner) => put(inner, rest, text),
        Value::List(items) => match items.first_mut() {
            Some(Value::String(value)) => *value = text.to_owned(),
            Some(Value::Message(inner)) => put(inner, rest, text),
            _ => {}
        },
        _ => {}
    }
}

fn hashes(rpc: &Rpc) -> bool {
    let fields = rpc.method.input();
    fields
        .fields()
        .any(|field| field.name().contains("password") || field.name().contains("secret"))
}

/// Puts every string at every place of every request, on its gRPC port and by its routes; answers what came that should not.
pub(crate) async fn everywhere(
    world: &World,
    people: &People,
    objects: &Objects,
) -> (usize, Vec<String>) {
    let mut wire = Wire::to_gateway(world);
    let (mut sent, mut faults) = (0, Vec::new());
    for rpc in contract::rpcs() {
        let base = sample(&rpc.method.input(), true, &|field| objects.known(field));
        let access = rpc.policy.access.clone().unwrap_or_default();
        let who = match access {
            _ if access.services => Who::Service,
            _ if access.signed_in => Who::Owner,
            _ => Who::Admin,
        };
        let token = people.token(who).expect("they have one").to_owned();
        let host = &rpc.hosts()[0];
        let channel = wire::channel(world, host);
        for (number, place) in strings(&base).into_iter().enumerate() {
            for (turn, text) in TEXTS.iter().enumerate() {
                if hashes(&rpc) && turn % (TEXTS.len() / HASHING_TEXTS) != number % HASHING_TEXTS {
                    continue;
                }
                let mut message = base.clone();
                put(&mut message, &place, text);
                let bearer = format!("Bearer {token}");
                let headers = [("authorization", bearer.as_str())];
                let frame = contract::frame(&message);
                let status = wire::call(&channel, &rpc.path, &headers, frame, rpc.streams()).await;
                sent += 1;
                if is_fault(status.code()) {
                    faults.push(format!("{} {place:?} {text:?}: {status:?}", rpc.path));
                }
                for route in &rpc.routes {
                    let asked = route.ask(&rpc, &message);
                    let headers = [
                        ("authorization".to_owned(), bearer.clone().into_bytes()),
                        ("content-type".to_owned(), asked.content_type.into()),
                    ];
                    let (verb, target) = (asked.verb.to_string(), asked.target());
                    let text_of_body = asked.text();
                    let request =
                        change::request(&verb, &target, &headers, text_of_body.as_bytes());
                    sent += 1;
                    match wire.send(&request).await {
                        Some(answer) if answer.status < 500 => {
                            if answer.head.to_ascii_lowercase().contains("\nx-injected:") {
                                faults.push(format!("a header by {target}: {}", answer.head));
                            }
                        }
                        other => faults.push(format!("{verb} {target} {text_of_body}: {other:?}")),
                    }
                }
            }
        }
    }
    (sent, faults)
}

pub(crate) fn is_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable
    )
}

/// Every cursor of every list, changed: each is refused by name.
pub(crate) async fn cursors(world: &World, people: &People, objects: &Objects) -> Vec<String> {
    let mut faults = Vec::new();
    let mut lists = 0;
    for rpc in contract::rpcs() {
        let input = rpc.method.input();
        let Some(token) = input.get_field_by_name("page_token") else {
            continue;
        };
        let who = match rpc.policy.access.clone().unwrap_or_default() {
            access if access.signed_in => Who::Owner,
            _ => Who::Admin,
        };
        let bearer = format!("Bearer {}", people.token(who).expect("they have one"));
        let channel = wire::channel(world, &rpc.hosts()[0]);
        // A token of ours with another check or of an earlier layout, and what others use as such.
        for text in [
            "AgAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "AQGQpcAAAABwAIAAAAAAAAA",
            "AA==",
            "1",
            "../1",
            "' OR 1=1 --",
            "\u{0}",
            "eyJpZCI6MX0",
        ] {
            let mut message = sample(&input, false, &|field| objects.known(field));
            message.set_field(&token, Value::String(text.to_owned()));
            let headers = [("authorization", bearer.as_str())];
            let frame = contract::frame(&message);
            let status = wire::call(&channel, &rpc.path, &headers, frame, rpc.streams()).await;
            if status.code() != Code::InvalidArgument {
                faults.push(format!("{} {text:?}: {status:?}", rpc.path));
            }
        }
        lists += 1;
    }
    assert!(lists > 5, "{lists}");
    faults
}

/// What was injected has not gone beyond its field: who is who, what is there and what it costs is as it was.
pub(crate) async fn nothing_else_changed(world: &World, people: &People, objects: &Objects) {
    let owner = &people.owner;
    let me = owner.rest.get("/v1/accounts/me").await.expect(200).json();
    assert_eq!(me["accountId"], json!(owner.account_id));
    assert_eq!(me["roles"], json!(["customer"]));
    let id = &objects.ids["order_id"];
    let order = owner.rest.get(&format!("/v1/orders/{id}")).await;
    let order = order.expect(200).json();
    assert_eq!(order["total"]["minorUnits"], "1250");
    assert_eq!(order["customerId"], json!(owner.account_id));
    let other = people.token(Who::Other).expect("has one");
    let others = world.anonymous().with_token(other).get("/v1/orders").await;
    let others: Json = others.expect(200).json();
    let ids: Vec<_> = others["orders"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    assert!(ids.iter().all(|order| order["orderId"] != json!(id)));
}

/// Texts in parts of a request that no field is made of: path, query and headers.
pub(crate) async fn around_fields(world: &World, people: &People) -> Vec<String> {
    let mut wire = Wire::to_gateway(world);
    let token = people.token(Who::Owner).expect("has one");
    let mut faults = Vec::new();
    for text in TEXTS {
        let safe: Vec<u8> = text
            .bytes()
            .filter(|byte| !b"\r\n\0".contains(byte))
            .collect();
        let targets = [
            format!("/v1/orders/{}", escape(text)),
            format!("/v1/{}/orders", escape(text)),
            format!("/v1/orders?pageToken={}", escape(text)),
            format!("/v1/orders?{}=1", escape(text)),
        ];
        for target in targets {
            let headers = [
                (
                    "authorization".to_owned(),
                    format!("Bearer {token}").into_bytes(),
                ),
                ("x-request-id".to_owned(), safe.clone()),
                ("idempotency-key".to_owned(), safe.clone()),
                ("user-agent".to_owned(), safe.clone()),
                ("accept-language".to_owned(), safe.clone()),
            ];
            let request = change::request("GET", &target, &headers, &[]);
            match wire.send(&request).await {
                Some(answer) if answer.status < 500 => {}
                other => faults.push(format!("{target}: {other:?}")),
            }
        }
    }
    faults
}

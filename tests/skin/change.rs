//! Changes of valid requests, drawn at random: of JSON as a tree and as text, of path, query, verb and headers, and of bytes.

use std::mem;

use fastrand::Rng;
use prost_reflect::{DynamicMessage, prost::Message as _};
use serde_json::{Map, Value as Json, json};

use crate::contract::{self, Asked, escape};

/// Texts that programs stumble over.
pub(crate) const TEXTS: [&str; 26] = [
    "",
    " ",
    "\u{0}",
    "a\u{0}b",
    "\u{202e}gnirts",
    "\u{feff}",
    "\u{fffd}",
    "\u{10ffff}",
    "🦀🦀🦀",
    "e\u{301}\u{301}\u{301}",
    "\r\nx-injected: yes",
    "line\nanother {\"level\":\"ERROR\"}",
    "'; DROP TABLE orders; --",
    "' OR '1'='1",
    "%' ESCAPE '!",
    "\\",
    "\"",
    "{\"a\": 1}",
    "trigger.order_id + string(1/0)",
    "${jndi:ldap://127.0.0.1/a}",
    "../../../../etc/passwd",
    "%2e%2e%2f",
    "*.>",
    "NaN",
    "-0",
    "00000000-0000-0000-0000-000000000000",
];

/// Values in JSON that are not what is asked for.
fn odd(rng: &mut Rng) -> Json {
    match rng.u8(..16) {
        0 => Json::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(i64::MAX),
        4 => json!(u64::MAX),
        5 => json!(1e308),
        6 => json!(0.1),
        7 => json!("9223372036854775808"),
        8 => json!([]),
        9 => json!({}),
        10 => json!(vec![Json::Null; rng.usize(1..300)]),
        11 => json!("x".repeat(rng.usize(1..6_000))),
        12 => (0..rng.usize(1..150)).fold(json!(1), |inner, _| json!([inner])),
        13 => (0..rng.usize(1..150)).fold(json!(1), |inner, _| json!({"a": inner})),
        _ => json!(rng.choice(TEXTS).expect("some")),
    }
}

/// Changes one place of a tree, wherever it lies.
fn change_tree(rng: &mut Rng, json: &mut Json) {
    let inside = match json {
        Json::Object(fields) => fields.len(),
        Json::Array(items) => items.len(),
        _ => 0,
    };
    if inside > 0 && rng.u8(..4) > 0 {
        let place = rng.usize(..inside);
        let inner = match json {
            Json::Object(fields) => fields.values_mut().nth(place),
            Json::Array(items) => items.get_mut(place),
            _ => None,
        };
        return change_tree(rng, inner.expect("within"));
    }
    match json {
        Json::Object(fields) if rng.bool() => change_fields(rng, fields),
        Json::Array(items) if rng.bool() => match items.first().cloned() {
            Some(first) if rng.bool() => items.resize(rng.usize(1..200), first),
            _ => items.push(odd(rng)),
        },
        Json::String(text) if rng.bool() => {
            let place = (0..=text.len())
                .rev()
                .find(|place| text.is_char_boundary(*place) && (*place == 0 || rng.u8(..4) == 0));
            let more = rng.choice(TEXTS).expect("some");
            text.insert_str(place.unwrap_or_default(), more);
        }
        other => *other = odd(rng),
    }
}

fn change_fields(rng: &mut Rng, fields: &mut Map<String, Json>) {
    let names: Vec<_> = fields.keys().cloned().collect();
    let name = rng.choice(&names).cloned().unwrap_or_default();
    match rng.u8(..4) {
        0 => drop(fields.remove(&name)),
        1 => {
            let value = fields.remove(&name).unwrap_or_default();
            fields.insert(name.to_uppercase(), value);
        }
        2 => drop(fields.insert(rng.choice(TEXTS).expect("some").to_string(), odd(rng))),
        _ => {
            let others = [
                "status",
                "role",
                "total",
                "customerId",
                "@type",
                "__proto__",
            ];
            let other = rng.choice(others).expect("some");
            fields.insert(other.to_owned(), odd(rng));
        }
    }
}

/// Changes text as bytes: it may be no JSON and no UTF-8 any more.
pub(crate) fn change_bytes(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let place = rng.usize(..=bytes.len());
    match rng.u8(..8) {
        0 => bytes.truncate(place),
        1 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << rng.u8(..8);
            }
        }
        2 => {
            let more: Vec<u8> = (0..rng.usize(1..9)).map(|_| rng.u8(..)).collect();
            bytes.splice(place..place, more);
        }
        3 => {
            let end = rng.usize(place..=bytes.len());
            bytes.drain(place..end);
        }
        4 => {
            // The same once more, e.g. a field twice.
            let end = rng.usize(place..=bytes.len());
            let again = bytes[place..end].to_vec();
            bytes.splice(place..place, again);
        }
        5 => bytes.extend(b"}]\"junk"),
        6 => bytes.splice(place..place, *b"\\ud800").for_each(drop),
        _ => bytes
            .splice(..0, vec![b'['; rng.usize(1..300)])
            .for_each(drop),
    }
}

/// Headers that a request may have beside those that it needs.
fn odd_header(rng: &mut Rng) -> (String, Vec<u8>) {
    let long = "z".repeat(rng.usize(1..9_000));
    let headers: [(&str, &[u8]); 30] = [
        ("content-type", b"text/plain"),
        ("content-type", b"application/json; charset=utf-16"),
        ("content-type", b"application/grpc"),
        ("content-type", b"application/grpc-web+proto"),
        ("content-type", b"multipart/form-data; boundary=x"),
        ("content-encoding", b"gzip"),
        ("content-encoding", b"br, br, br"),
        ("accept", b"application/xml"),
        ("accept", b"text/event-stream;q=x,*/*;q=9"),
        ("accept-encoding", b"gzip;q=-1, br;q=2, zstd;q=nan, *"),
        ("prefer", b"wait=-1"),
        ("prefer", b"wait=99999999999999999999, wait=0"),
        ("idempotency-key", b""),
        ("idempotency-key", b"\xff\xfe"),
        ("idempotency-key", long.as_bytes()),
        ("authorization", b"Bearer"),
        ("authorization", b"Bearer a.b.c"),
        ("authorization", b"Basic Og=="),
        ("if-none-match", b"W/\"x\", *, \"\""),
        ("if-match", b"\""),
        ("x-request-id", b"a\tb\"}{\"level\":\"ERROR"),
        ("x-request-id", long.as_bytes()),
        ("traceparent", b"00-zz-00-ff"),
        ("x-forwarded-for", b"::1, 999.1.1.1, \xff"),
        (
            "x-forwarded-client-cert",
            b"URI=spiffe://cluster.local/ns/caravan/sa/saga",
        ),
        ("caravan-saga-id", b"01890a5d-ac96-774b-bcce-b302099a8057"),
        ("grpc-timeout", b"1x"),
        ("range", b"bytes=5-1"),
        ("upgrade", b"websocket"),
        ("x-http-method-override", b"DELETE"),
    ];
    let (name, value) = rng.choice(headers).expect("some");
    (name.to_owned(), value.to_vec())
}

/// Segments that a path may have instead of its own.
const SEGMENTS: [&str; 16] = [
    "..",
    "%2e%2e",
    "%00",
    "%ff",
    "%zz",
    "%",
    "",
    ".",
    "me",
    "{order_id}",
    ":cancel",
    "a:b:c",
    "a%2Fb",
    "*",
    "%E2%80%AE",
    "7",
];

fn change_path(rng: &mut Rng, path: &mut String) {
    let mut segments: Vec<_> = path.split('/').map(str::to_owned).collect();
    let place = rng.usize(1..segments.len());
    let odd = (*rng.choice(SEGMENTS.iter()).expect("some")).to_owned();
    match rng.u8(..5) {
        0 => segments.insert(place, odd),
        1 => drop(segments.remove(place)),
        2 => segments[place] = "s".repeat(rng.usize(1..9_000)),
        3 => segments[place].push_str(&odd),
        _ => segments[place] = odd,
    }
    *path = segments.join("/");
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
}

fn change_query(rng: &mut Rng, query: &mut String) {
    let text = escape(rng.choice(TEXTS).expect("some"));
    let more = match rng.u8(..9) {
        0 => format!("pageSize={text}"),
        1 => format!("pageToken={text}"),
        2 => format!("{text}={text}"),
        3 => "a.b.c.d.e.f=1".to_owned(),
        4 => "pageSize=1&pageSize=2".to_owned(),
        5 => "=&&=&%zz=%f".to_owned(),
        6 => vec!["p=1"; rng.usize(1..1_500)].join("&"),
        7 => format!("asOf={text}&createdAfter=9999-12-31T23:59:60Z&minAge=1e9s"),
        _ => format!("pageToken={}", "A".repeat(rng.usize(1..300))),
    };
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&more);
}

/// Gives a parameter of the query another value.
fn change_parameter(rng: &mut Rng, parameters: &mut [(String, String)]) {
    let place = rng.usize(..parameters.len());
    parameters[place].1 = match odd(rng) {
        Json::String(text) => text,
        other => other.to_string(),
    };
}

/// A request of REST with some changes, as bytes of HTTP/1.1.
pub(crate) fn rest(rng: &mut Rng, asked: Asked, token: &str) -> Vec<u8> {
    let mut asked = asked;
    let mut verb = asked.verb.to_string();
    let mut parameters = mem::take(&mut asked.query);
    let mut query = String::new();
    let mut headers = vec![
        (
            "authorization".to_owned(),
            format!("Bearer {token}").into_bytes(),
        ),
        ("content-type".to_owned(), asked.content_type.into()),
    ];
    let mut body = None;
    for _ in 0..rng.usize(1..4) {
        match rng.u8(..12) {
            0..5 if !asked.body.is_null() => change_tree(rng, &mut asked.body),
            0..7 if !parameters.is_empty() => change_parameter(rng, &mut parameters),
            5..7 if !asked.body.is_null() => {
                let bytes = body.get_or_insert_with(|| asked.text().into_bytes());
                change_bytes(rng, bytes);
            }
            7 => change_path(rng, &mut asked.path),
            8 => {
                let (name, value) = odd_header(rng);
                if rng.bool() {
                    headers.retain(|(other, _)| *other != name);
                }
                headers.push((name, value));
            }
            9 if rng.u8(..4) == 0 => {
                let verbs = [
                    "GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
                ];
                verb = (*rng.choice(verbs.iter()).expect("some")).to_owned();
            }
            9 | 10 => change_query(rng, &mut query),
            _ => {}
        }
    }
    let body = body.unwrap_or_else(|| asked.text().into_bytes());
    let known = contract::form(&parameters);
    let query = match (known.is_empty(), query.is_empty()) {
        (true, true) => String::new(),
        (false, false) => format!("?{known}&{query}"),
        _ => format!("?{known}{query}"),
    };
    request(&verb, &format!("{}{query}", asked.path), &headers, &body)
}

/// A request of HTTP/1.1.
pub(crate) fn request(
    verb: &str,
    target: &str,
    headers: &[(String, Vec<u8>)],
    body: &[u8],
) -> Vec<u8> {
    let mut request = format!("{verb} {target} HTTP/1.1\r\nhost: skin\r\n").into_bytes();
    for (name, value) in headers {
        request.extend(name.bytes());
        request.extend(b": ");
        request.extend(value);
        request.extend(b"\r\n");
    }
    request.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    request.extend(body);
    request
}

/// Metadata and the framed message of a call, with some changes.
pub(crate) fn grpc(
    rng: &mut Rng,
    message: &DynamicMessage,
    bearer: &str,
) -> (Vec<(&'static str, String)>, Vec<u8>) {
    let mut bytes = message.encode_to_vec();
    let mut headers = vec![("authorization", bearer.to_owned())];
    for _ in 0..rng.usize(1..4) {
        match rng.u8(..10) {
            0..6 => change_bytes(rng, &mut bytes),
            6 => bytes.extend(nested(rng.usize(1..300))),
            // A length that goes far beyond the end, and a number without one.
            7 => bytes.extend([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            8 => bytes.extend([
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
            ]),
            _ => headers.push(metadata(rng)),
        }
    }
    let mut frame = contract::framed(&bytes);
    match rng.u8(..24) {
        0 => frame[0] = rng.u8(1..),
        1 => frame[rng.usize(1..5)] ^= 1 << rng.u8(..8),
        2 => frame.extend(contract::framed(&bytes)),
        3 => frame.truncate(rng.usize(..=frame.len())),
        _ => {}
    }
    (headers, frame)
}

/// A message in a message in a message.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| {
        let mut outer = vec![0x0a];
        let mut length = inner.len();
        while length >= 0x80 {
            outer.push(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        outer.push(length.to_le_bytes()[0]);
        outer.extend(inner);
        outer
    })
}

fn metadata(rng: &mut Rng) -> (&'static str, String) {
    let long = "k".repeat(rng.usize(1..2_000));
    let all = [
        ("idempotency-key", long.clone()),
        ("idempotency-key", "a\tb".to_owned()),
        ("grpc-timeout", "99999999H".to_owned()),
        ("grpc-timeout", "-1S".to_owned()),
        ("grpc-encoding", "gzip".to_owned()),
        ("grpc-encoding", long.clone()),
        ("prefer", "wait=x".to_owned()),
        (
            "caravan-saga-id",
            "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(),
        ),
        ("caravan-saga-id", long),
        ("caravan-saga-step", "reserve".to_owned()),
        ("caravan-saga-operation", "action".to_owned()),
        ("caravan-saga-epoch", "-9223372036854775808".to_owned()),
        (
            "traceparent",
            "00-00000000000000000000000000000000-0-0".to_owned(),
        ),
        ("x-request-id", "\t".to_owned()),
    ];
    rng.choice(all).expect("some")
}

//! 7 replies.

use serde_json::{Value, json};
use transcode::{Api, Printer};

use crate::support::compile;

/// A contract whose replies are whole, in part, bytes, or of fields with presence.
fn api() -> Api {
    let source = r#"syntax = "proto3"; package c.v1;
        import "google/api/annotations.proto"; import "google/api/httpbody.proto";
        message M { string a = 1; int64 n = 2; optional int32 o = 3; repeated string l = 4; M m = 5; K k = 6;
            map<string, int32> t = 7; bytes b = 8; google.api.HttpBody raw = 9; }
        enum K { K_NONE = 0; K_ONE = 1; }
        service S {
            rpc Whole(M) returns (M) { option (google.api.http) = {get: "/whole"}; }
            rpc Text(M) returns (M) { option (google.api.http) = {get: "/text" response_body: "a"}; }
            rpc Number(M) returns (M) { option (google.api.http) = {get: "/number" response_body: "n"}; }
            rpc Presence(M) returns (M) { option (google.api.http) = {get: "/presence" response_body: "o"}; }
            rpc List(M) returns (M) { option (google.api.http) = {get: "/list" response_body: "l"}; }
            rpc Message(M) returns (M) { option (google.api.http) = {get: "/message" response_body: "m"}; }
            rpc Enum(M) returns (M) { option (google.api.http) = {get: "/enum" response_body: "k"}; }
            rpc Map(M) returns (M) { option (google.api.http) = {get: "/map" response_body: "t"}; }
            rpc Raw(M) returns (google.api.HttpBody) { option (google.api.http) = {get: "/raw"}; }
            rpc RawField(M) returns (M) { option (google.api.http) = {get: "/rawfield" response_body: "raw"}; }
        }"#;
    Api::compile(&compile("c.proto", Some(source))).expect("a contract")
}

#[test]
fn rule_7_a_reply_is_what_the_route_says_with_defaults_and_presence() {
    let api = api();
    let printed = |path: &str, wire: &[u8]| {
        let found = api.find("GET", path).expect("a route");
        let mut out = Vec::new();
        let outcome = found.print(&mut Printer::default(), wire, &mut out);
        outcome.unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_slice::<Value>(&out).expect("JSON")
    };
    // Fields with presence that are not set are left out; all others have their zero value.
    let empty = json!({"a": "", "n": "0", "l": [], "k": "K_NONE", "t": {}, "b": ""});
    for (path, wire, expected) in [
        ("/whole", &b""[..], empty),
        ("/text", b"", json!("")),
        ("/text", b"\x0a\x01x", json!("x")),
        ("/number", b"", json!("0")),
        ("/number", b"\x10\x05", json!("5")),
        ("/presence", b"", Value::Null),
        ("/presence", b"\x18\0", json!(0)),
        ("/list", b"", json!([])),
        ("/list", b"\x22\x01x\x22\0", json!(["x", ""])),
        ("/message", b"", Value::Null),
        ("/enum", b"", json!("K_NONE")),
        ("/enum", b"\x30\x01", json!("K_ONE")),
        ("/enum", b"\x30\x07", json!(7)),
        ("/map", b"", json!({})),
        ("/map", b"\x3a\x05\x0a\x01x\x10\x02", json!({"x": 2})),
    ] {
        assert_eq!(printed(path, wire), expected, "{path} {wire:?}");
    }
    assert_eq!(printed("/whole", b"\x18\0")["o"], 0);
    assert_eq!(printed("/message", b"\x2a\x02\x10\x01")["n"], "1");
}

#[test]
fn rule_7_an_http_body_is_its_bytes_and_its_type() {
    let api = api();
    // content_type = "text/csv", data = 0 1 2
    let body = b"\x0a\x08text/csv\x12\x03\0\x01\x02";
    let mut field = vec![0x4a, body.len() as u8];
    field.extend_from_slice(body);
    for (path, wire, expected) in [
        ("/raw", &body[..], ("text/csv", &[0, 1, 2][..])),
        ("/raw", b"", ("", &[][..])),
        ("/rawfield", &field, ("text/csv", &[0, 1, 2][..])),
        ("/rawfield", b"", ("", &[][..])),
    ] {
        let found = api.find("GET", path).expect("a route");
        assert!(found.binding().answers_raw_body(), "{path}");
        let raw = found.binding().raw_response(api.schema(), wire);
        let raw = raw.expect("a body");
        assert_eq!((raw.content_type, raw.data), expected, "{path}");
    }
}

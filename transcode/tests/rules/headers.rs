//! Rule 3: headers that the contract lets fill fields.

use prost_reflect::DynamicMessage;
use serde_json::json;
use transcode::{Api, Encoder, HeaderField, Input};

use crate::{contract, json_of};

#[test]
fn rule_3_a_header_fills_a_field() {
    let header = |header: &str, field: &str| HeaderField {
        header: header.to_owned(),
        field: field.to_owned(),
    };
    let rpcs = [
        ("All", r#"post: "/all/{a}" body: "*""#),
        ("Field", r#"post: "/field" body: "m""#),
        ("Query", r#"get: "/query""#),
    ];
    let pool = contract(&rpcs);
    let headers = |found: &[HeaderField]| {
        let found = found.to_vec();
        Api::compile_with(&pool, move |_| found.clone())
    };
    let rules = [
        header("X-B", "b"),
        header("X-N", "m.n"),
        header("X-L", "ns"),
        header("X-X", "x"),
    ];
    let api = headers(&rules).expect("a contract");
    let made = |verb: &str, uri: &str, body: &str, headers: &[(&str, &str)]| {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let found = api.find(verb, path).expect("a route");
        let input = Input {
            query,
            body: body.as_bytes(),
            headers,
            ..Input::default()
        };
        let mut wire = Vec::new();
        found
            .encode(&mut Encoder::default(), &input, &mut wire)
            .map_err(|error| error.to_string())?;
        let descriptor = found.method().descriptor.input();
        Ok::<_, String>(json_of(
            &DynamicMessage::decode(descriptor, &*wire).expect("wire bytes"),
        ))
    };
    for (verb, uri, body, given, expected) in [
        ("GET", "/query", "", &[][..], json!({})),
        ("GET", "/query", "", &[("x-b", "v")][..], json!({"b": "v"})),
        (
            "GET",
            "/query?b=q",
            "",
            &[("x-other", "v")][..],
            json!({"b": "q"}),
        ),
        (
            "GET",
            "/query?m.a=q&n=2",
            "",
            &[("X-N", " 7 ")][..],
            json!({"m": {"a": "q", "n": 7}, "n": 2}),
        ),
        (
            "GET",
            "/query",
            "",
            &[("x-l", "1, 2"), ("x-l", "3")][..],
            json!({"ns": [1, 2, 3]}),
        ),
        (
            "POST",
            "/all/p",
            r#"{"n": 1, "m": {"a": "z"}}"#,
            &[("x-b", "v"), ("x-n", "-1")][..],
            json!({"a": "p", "b": "v", "n": 1, "m": {"a": "z", "n": -1}}),
        ),
        (
            "POST",
            "/all/p",
            r#"{"b": "w"}"#,
            &[][..],
            json!({"a": "p", "b": "w"}),
        ),
        (
            "POST",
            "/field?b=q",
            r#"{"a": "z"}"#,
            &[("x-n", "5")][..],
            json!({"b": "q", "m": {"a": "z", "n": 5}}),
        ),
    ] {
        let found = made(verb, uri, body, given).unwrap_or_else(|error| panic!("{uri}: {error}"));
        assert_eq!(found, expected, "{verb} {uri} {body} {given:?}");
    }
    for (verb, uri, body, given, error) in [
        (
            "GET",
            "/query?b=q",
            "",
            &[("x-b", "v")][..],
            "query: b: is set twice",
        ),
        (
            "GET",
            "/query?ns=1",
            "",
            &[("x-l", "2")][..],
            "query: ns: is set twice",
        ),
        (
            "GET",
            "/query?y=1",
            "",
            &[("x-x", "2")][..],
            "query: y: \"x\" is set already",
        ),
        (
            "GET",
            "/query",
            "",
            &[("x-b", "v"), ("x-b", "w")][..],
            "header: x-b: is set twice",
        ),
        (
            "GET",
            "/query",
            "",
            &[("x-n", "v")][..],
            "header: x-n: must be an integer",
        ),
        (
            "GET",
            "/query",
            "",
            &[("x-l", "1,")][..],
            "header: x-l: must be an integer",
        ),
        (
            "POST",
            "/all/p",
            r#"{"b": "w"}"#,
            &[("x-b", "v")][..],
            "body: b: is set by",
        ),
        (
            "POST",
            "/all/p",
            r#"{"m": {"n": 1}}"#,
            &[("x-n", "1")][..],
            "body: m.n: is set by",
        ),
        (
            "POST",
            "/all/p",
            r#"{"y": "w"}"#,
            &[("x-x", "v")][..],
            "body: y: \"x\" is set already",
        ),
        (
            "POST",
            "/field",
            r#"{"n": 1}"#,
            &[("x-n", "1")][..],
            "body: n: is set by",
        ),
    ] {
        let found = made(verb, uri, body, given).expect_err(error);
        assert!(
            found.starts_with(error),
            "{verb} {uri} {body} {given:?}: {found}"
        );
    }
    for (rule, part) in [
        (header("X A", "b"), "no name"),
        (header("", "b"), "no name"),
        (header("X-A", "nope"), "no field"),
        (header("X-A", "m"), "cannot stand"),
        (header("X-A", "t"), "cannot stand"),
        (header("X-A", "a"), "set twice"),
    ] {
        let error = headers(std::slice::from_ref(&rule)).map(drop);
        let error = error.expect_err(part).to_string();
        assert!(error.contains(part) && error.contains("c.v1.S."), "{error}");
    }
}

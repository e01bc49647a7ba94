//! What the gateway's specification says of transcoding, rule by rule, as tables.
//!
//! 1 templates, 2 variables, 3 sources of fields, 4 values, 5 queries, 6 unknown names, 7 replies, 8 masks, 11 limits;
//! rules 9 and 10 are of HTTP and tested with the gateway. `mapping.rs` and `requests.rs` hold more cases of the same rules.

mod support;

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};
use std::sync::LazyLock;
use support::{compile, encode, print, request, same};
use transcode::{Api, Encoder, HeaderField, Input, PrintOptions, Printer, RouteError, Schema};

/// The request without its empty fields.
fn made(verb: &str, uri: &str, body: &str) -> Value {
    let message = request(verb, uri, body).unwrap_or_else(|error| panic!("{verb} {uri}: {error}"));
    json_of(&message)
}

fn json_of(message: &DynamicMessage) -> Value {
    message
        .serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new())
        .expect("JSON")
}

/// A contract of one service, by its rpcs; all take and answer `M`.
fn contract(rpcs: &[(&str, &str)]) -> DescriptorPool {
    let rpcs: String = rpcs
        .iter()
        .map(|(name, rule)| {
            format!("rpc {name}(M) returns (M) {{ option (google.api.http) = {{{rule}}}; }}\n")
        })
        .collect();
    let source = format!(
        r#"syntax = "proto3"; package c.v1; import "google/api/annotations.proto";
        message M {{ string a = 1; M m = 2; repeated string l = 3; string b = 4; int32 n = 5;
            oneof o {{ string x = 6; string y = 7; }} map<string, string> t = 8; repeated int32 ns = 9; }}
        service S {{ {rpcs} }}"#
    );
    compile("c.proto", Some(&source))
}

#[test]
fn rule_1_the_most_literal_template_wins_whatever_the_order() {
    let mut rpcs = vec![
        ("Rest", r#"get: "/v1/{a=**}""#),
        ("One", r#"get: "/v1/{a}""#),
        ("Literal", r#"get: "/v1/here""#),
        ("Two", r#"get: "/v1/{a}/{b}""#),
        ("HalfLiteral", r#"get: "/v1/here/{b}""#),
        ("Name", r#"get: "/v1/{a=shelves/*}/books""#),
        ("Verb", r#"get: "/v1/{a}:verb""#),
        ("RestVerb", r#"get: "/v1/{a=deep/**}:verb""#),
        (
            "More",
            r#"post: "/v1/more" body: "*" additional_bindings { put: "/v1/more" body: "*" }"#,
        ),
        ("Custom", r#"custom: { kind: "PURGE" path: "/v1/cache" }"#),
        ("AnyKind", r#"custom: { kind: "*" path: "/v1/any" }"#),
    ];
    let cases = [
        ("GET", "/v1/x", "One"),
        ("GET", "/v1/here", "Literal"),
        ("HEAD", "/v1/here", "Literal"),
        ("GET", "/v1/%68ere", "Literal"),
        ("GET", "/v1/x/y", "Two"),
        ("GET", "/v1/here/y", "HalfLiteral"),
        ("GET", "/v1/shelves/books", "Two"),
        ("GET", "/v1/shelves/1/books", "Name"),
        ("GET", "/v1/x/y/z", "Rest"),
        ("GET", "/v1", "Rest"),
        ("GET", "/v1/x:verb", "Verb"),
        ("GET", "/v1/x:other", "One"),
        ("GET", "/v1/deep/a/b:verb", "RestVerb"),
        ("GET", "/v1/deep/a/b:other", "Rest"),
        ("POST", "/v1/more", "More"),
        ("PUT", "/v1/more", "More"),
        ("PURGE", "/v1/cache", "Custom"),
        ("BREW", "/v1/any", "AnyKind"),
        ("GET", "/v1/any", "AnyKind"),
    ];
    for _ in 0..2 {
        let api = Api::compile(&contract(&rpcs)).expect("a contract");
        for (verb, path, rpc) in cases {
            let found = api
                .find(verb, path)
                .unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(found.method().descriptor.name(), rpc, "{verb} {path}");
        }
        let none = |verb, path| api.find(verb, path).map(drop).expect_err(path);
        assert_eq!(none("GET", "/v2"), RouteError::NotFound);
        assert_eq!(
            none("DELETE", "/v1/more"),
            RouteError::MethodNotAllowed {
                // The template with `**` matches it too.
                allow: ["GET", "HEAD", "POST", "PUT"].map(Into::into).to_vec()
            }
        );
        rpcs.reverse();
    }
}

#[test]
fn rule_1_templates_that_cannot_be_served_are_a_start_up_error() {
    for (rule, part) in [
        (r#"get: "/v1/{a=**}/x""#, "bad path template"),
        (r#"get: "/v1/**/x""#, "bad path template"),
        (r#"get: "/v1/{a=x/**}/{b}""#, "bad path template"),
        (r#"get: "/v1/{a={b}}""#, "bad path template"),
        (r#"get: "v1""#, "bad path template"),
        (r#"get: "/v1/{t}""#, "cannot stand in a path"),
        (r#"get: "/v1/{m.m}""#, "cannot stand in a path"),
        (r#"get: "/v1/{ns}""#, "cannot stand in a path"),
        (r#"get: "/v1/{m.a}/{m.a}""#, "set twice"),
    ] {
        let error = Api::compile(&contract(&[("A", rule)])).map(drop);
        let error = error.expect_err(rule).to_string();
        assert!(
            error.contains(part) && error.contains("c.v1.S.A"),
            "{error}"
        );
    }
    for (one, other) in [
        (r#"get: "/v1/{a}""#, r#"get: "/v1/{b=*}""#),
        (r#"get: "/v1/{a=x/*}""#, r#"get: "/v1/x/{b}""#),
        (r#"get: "/v1/{a}:go""#, r#"get: "/v1/{b}:go""#),
        (r#"post: "/v1/%61""#, r#"post: "/v1/a""#),
    ] {
        let error = Api::compile(&contract(&[("A", one), ("B", other)])).map(drop);
        let error = error.expect_err(one).to_string();
        assert!(
            error.contains("c.v1.S.A") && error.contains("c.v1.S.B"),
            "{error}"
        );
    }
}

#[test]
fn rule_2_variables_are_decoded() {
    for (uri, name) in [
        // One segment: everything.
        ("/v1/things/a%2Fb/0", "a/b"),
        ("/v1/things/%24%26%27%2A%2b%3b/0", "$&'*+;"),
        ("/v1/things/%E2%82%AC/0", "€"),
        ("/v1/things/a%25b/0", "a%b"),
        ("/v1/things/a+b/0", "a+b"),
        ("/v1/things/a:b/0", "a:b"),
        // Several segments: reserved characters stay encoded.
        ("/v1/shelves/a%2Fb", "shelves/a%2Fb"),
        ("/v1/shelves/%C3%A9%20%3A", "shelves/é %3A"),
        ("/v1/files/a/b%2Fc/%7Ed", "a/b%2Fc/~d"),
        ("/v1/files/a//b", "a//b"),
    ] {
        assert_eq!(made("GET", uri, "")["name"], name, "{uri}");
    }
    for uri in [
        "/v1/things/%/0",
        "/v1/things/%2/0",
        "/v1/things/%2x/0",
        "/v1/things/%ff/0",
        "/v1/shelves/%zz",
        "/v1/files/a/%C3",
    ] {
        let error = request("GET", uri, "").expect_err(uri);
        assert!(error.starts_with("path: name: "), "{uri}: {error}");
    }
}

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

#[test]
fn rule_3_every_field_has_one_source() {
    for (verb, uri, body, error) in [
        (
            "GET",
            "/v1/shelves/1?name=x",
            "",
            "query: name: is set twice",
        ),
        ("GET", "/v1/shelves/1", "{}", "body: must be empty"),
        (
            "POST",
            "/v1/shops/1/shelves?shelf.name=x",
            "{}",
            "query: shelf.name: is taken from the body",
        ),
        (
            "POST",
            "/v1/shops/1/shelves",
            r#"{"parent": "shops/2"}"#,
            "body: parent: is set by the path",
        ),
        (
            "PUT",
            "/v1/shelves/1?shelf.theme=x",
            "{}",
            "query: shelf.theme: is taken from the body",
        ),
        (
            "PUT",
            "/v1/shelves/1",
            r#"{"name": "x"}"#,
            "body: name: is set by the path",
        ),
        (
            "GET",
            "/v1/nested/x?shelf.name=y",
            "",
            "query: shelf.name: is set twice",
        ),
    ] {
        let found = request(verb, uri, body).expect_err(uri);
        assert!(found.starts_with(error), "{verb} {uri} {body}: {found}");
    }
}

#[test]
fn rule_4_numbers_are_exact_or_refused() {
    let field = |field: &str, json: &str| {
        let wire = encode("test.v1.Scalars", &format!(r#"{{"{field}": {json}}}"#));
        wire.map(|wire| print("test.v1.Scalars", &wire)[field].clone())
    };
    for (name, json, printed) in [
        ("anInt32", "-2147483648", json!(-2_147_483_648i64)),
        ("anInt32", "\"2147483647\"", json!(2_147_483_647)),
        ("anInt32", "1.0", json!(1)),
        ("anInt32", "1e2", json!(100)),
        ("anInt64", "9007199254740993", json!("9007199254740993")),
        (
            "anInt64",
            "\"-9223372036854775808\"",
            json!("-9223372036854775808"),
        ),
        (
            "aUint64",
            "18446744073709551615",
            json!("18446744073709551615"),
        ),
        ("aSint64", "-1", json!("-1")),
        ("aFixed64", "\"1\"", json!("1")),
        (
            "aSfixed64",
            "-9223372036854775808",
            json!("-9223372036854775808"),
        ),
        ("aUint32", "4294967295", json!(4_294_967_295u32)),
        ("aSint32", "-2147483648", json!(-2_147_483_648i64)),
        ("aFixed32", "4294967295", json!(4_294_967_295u32)),
        ("aSfixed32", "-1", json!(-1)),
        ("aDouble", "\"NaN\"", json!("NaN")),
        ("aDouble", "\"-Infinity\"", json!("-Infinity")),
        ("aDouble", "\"1.5\"", json!(1.5)),
        ("aFloat", "\"Infinity\"", json!("Infinity")),
        ("aFloat", "3.4028235e38", json!(3.4028235e38)),
        ("aDouble", "5e-324", json!(5e-324)),
        ("aColor", "\"COLOR_RED\"", json!("COLOR_RED")),
        ("aColor", "1000", json!("COLOR_FAR")),
        ("aColor", "77", json!(77)),
        ("aColor", "-1", json!("COLOR_NEGATIVE")),
        ("aBytes", "\"-_8\"", json!("+/8=")),
        ("aBytes", "\"+/8=\"", json!("+/8=")),
        ("aBytes", "\"-_8=\"", json!("+/8=")),
        ("aBytes", "\"+/8\"", json!("+/8=")),
        ("aBytes", "\"\"", json!("")),
    ] {
        let found = field(name, json).unwrap_or_else(|error| panic!("{json}: {error}"));
        assert!(same(&found, &printed), "{name}: {json}: {found}");
    }
    for (name, json) in [
        ("anInt32", "2147483648"),
        ("anInt32", "0.5"),
        ("anInt32", "\"1 \""),
        ("anInt32", "\"0x1\""),
        ("anInt32", "true"),
        ("anInt64", "9223372036854775808"),
        ("anInt64", "-9223372036854775809"),
        ("aUint32", "-1"),
        ("aUint32", "4294967296"),
        ("aUint64", "18446744073709551616"),
        ("aFloat", "3.5e38"),
        ("aDouble", "1e309"),
        ("aDouble", "\"nan\""),
        ("aDouble", "\"\""),
        ("aBool", "0"),
        ("aBool", "\"true\""),
        ("aColor", "\"color_red\""),
        ("aColor", "\"1\""),
        ("aColor", "true"),
        ("aBytes", "\"a\""),
        ("aBytes", "\"+_8=\""),
        ("aBytes", "\"a b\""),
        ("aString", "7"),
    ] {
        let error = field(name, json).map(drop).expect_err(json);
        assert_eq!(error.field(), name, "{json}: {error}");
    }
}

#[test]
fn rule_4_maps_take_every_kind_of_key() {
    let pool = compile(
        "keys.proto",
        Some(
            r#"syntax = "proto3"; package k.v1; message K {
                map<int32, bool> a = 1; map<int64, bool> b = 2; map<uint32, bool> c = 3; map<uint64, bool> d = 4;
                map<sint32, bool> e = 5; map<sint64, bool> f = 6; map<fixed32, bool> g = 7; map<fixed64, bool> h = 8;
                map<sfixed32, bool> i = 9; map<sfixed64, bool> j = 10; map<bool, bool> k = 11; map<string, bool> l = 12; }"#,
        ),
    );
    let schema = Schema::compile(&pool);
    let id = schema.message_id("k.v1.K").expect("a message");
    let descriptor = pool.get_message_by_name("k.v1.K").expect("a message");
    let ends = [
        ("a", "-2147483648", "2147483648"),
        ("b", "-9223372036854775808", "9223372036854775808"),
        ("c", "4294967295", "-1"),
        ("d", "18446744073709551615", "18446744073709551616"),
        ("e", "-1", "1.5"),
        ("f", "-1", ""),
        ("g", "4294967295", "4294967296"),
        ("h", "18446744073709551615", "x"),
        ("i", "-2147483648", "-2147483649"),
        ("j", "-9223372036854775808", "nope"),
        ("k", "true", "1"),
        ("l", "\\u0000\\\"", ""),
    ];
    for (field, key, bad) in ends {
        let json = format!(r#"{{"{field}": {{"{key}": true}}}}"#);
        let mut wire = Vec::new();
        Encoder::default()
            .message(&schema, id, json.as_bytes(), &mut wire)
            .unwrap_or_else(|error| panic!("{json}: {error}"));
        let oracle = DynamicMessage::decode(descriptor.clone(), &*wire).expect("wire bytes");
        let expected: Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json_of(&oracle), expected);
        let mut out = Vec::new();
        let options = PrintOptions {
            defaults: false,
            ..PrintOptions::default()
        };
        Printer::new(options)
            .message(&schema, id, &wire, &mut out)
            .expect("JSON");
        assert_eq!(
            serde_json::from_slice::<Value>(&out).expect("JSON"),
            expected
        );
        if field != "l" {
            let json = format!(r#"{{"{field}": {{"{bad}": true}}}}"#);
            let error = Encoder::default().message(&schema, id, json.as_bytes(), &mut wire);
            let error = error.expect_err(&json);
            assert_eq!(error.field(), format!("{field}[{bad:?}]"), "{json}");
        }
    }
}

static OLD: LazyLock<DescriptorPool> = LazyLock::new(|| compile("old.proto", None));

#[test]
fn rule_4_what_proto2_brings_reads_and_writes() {
    let schema = Schema::compile(&OLD);
    let id = schema.message_id("old.v1.Old").expect("a message");
    let descriptor = OLD.get_message_by_name("old.v1.Old").expect("a message");
    for (json, printed) in [
        (
            r#"{"name": ""}"#,
            json!({"name": "", "sizes": [], "item": []}),
        ),
        (
            r#"{"name": "n", "count": 0, "size": "SIZE_TINY", "sizes": [2, "SIZE_TINY"], "raw": ""}"#,
            json!({"name": "n", "count": 0, "size": "SIZE_SMALL", "sizes": ["SIZE_LARGE", "SIZE_SMALL"], "raw": "", "item": []}),
        ),
        (
            r#"{"box": {"label": "l", "marks": [1, "2"], "inner": {"deep": true}}, "item": [{"sku": "a"}, {}]}"#,
            json!({"box": {"label": "l", "marks": ["1", "2"], "inner": {"deep": true}}, "item": [{"sku": "a"}, {}], "sizes": []}),
        ),
        (
            r#"{"[old.v1.number]": "5", "[old.v1.words]": ["x"], "[old.v1.extra]": {"text": "t"}, "[old.v1.Scope.inside]": false}"#,
            json!({"[old.v1.number]": "5", "[old.v1.words]": ["x"], "[old.v1.extra]": {"text": "t"},
                "[old.v1.Scope.inside]": false, "sizes": [], "item": []}),
        ),
    ] {
        let mut wire = Vec::new();
        Encoder::default()
            .message(&schema, id, json.as_bytes(), &mut wire)
            .unwrap_or_else(|error| panic!("{json}: {error}"));
        let ours = DynamicMessage::decode(descriptor.clone(), &*wire).expect("wire bytes");
        let theirs = support::oracle_encode(&OLD, "old.v1.Old", json);
        assert!(ours == theirs, "{json}: {ours} {theirs}");
        let mut out = Vec::new();
        Printer::default()
            .message(&schema, id, &wire, &mut out)
            .expect("JSON");
        assert_eq!(
            serde_json::from_slice::<Value>(&out).expect("JSON"),
            printed
        );
    }
    // A group that comes in parts is one.
    let parts = b"\x2b\x0a\x01a\x2c\x2b\x10\x05\x2c";
    let mut out = Vec::new();
    Printer::default()
        .message(&schema, id, parts, &mut out)
        .expect("JSON");
    let found: Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(found["box"], json!({"label": "a", "marks": ["5"]}));
}

#[test]
fn rule_5_queries_reach_every_field_that_text_can_fill() {
    for (query, expected) in [
        (
            "shelf.scalars.a_double=NaN",
            json!({"shelf": {"scalars": {"aDouble": "NaN"}}}),
        ),
        (
            "shelf.scalars.aBytes=AA%3D%3D",
            json!({"shelf": {"scalars": {"aBytes": "AA=="}}}),
        ),
        (
            "shelf.time=2026-01-01T00:00:00Z",
            json!({"shelf": {"time": "2026-01-01T00:00:00Z"}}),
        ),
        (
            "colors=1&colors=COLOR_RED&colors=9",
            json!({"colors": ["COLOR_RED", "COLOR_RED", 9]}),
        ),
        ("maybe=0", json!({"maybe": 0})),
        ("text=", json!({"text": ""})),
        ("text", json!({"text": ""})),
        ("size=0", json!({})),
        ("tags=a%26b%3Dc", json!({"tags": ["a&b=c"]})),
    ] {
        let found = made("GET", &format!("/v1/things?{query}"), "");
        assert_eq!(found, expected, "{query}");
    }
    for (query, error) in [
        ("text=a&text=b", "query: text: is set twice"),
        ("text=a&number=1", "query: number: \"text\" is set already"),
        (
            "shelf.name=a&shelf.name=b",
            "query: shelf.name: is set twice",
        ),
        ("since=null", "query: since: must be a time"),
        ("flag=yes", "query: flag: must be true or false"),
        ("shelf.labels.a=b", "query: shelf.labels.a: is not known"),
        ("tags=%ff", "query: tags: is not UTF-8"),
        ("%zz=1", "query: has a malformed percent escape"),
    ] {
        let found = request("GET", &format!("/v1/things?{query}"), "").expect_err(query);
        assert!(found.starts_with(error), "{query}: {found}");
    }
}

#[test]
fn rule_5_null_is_unset_but_for_value() {
    let wire = encode(
        "test.v1.WellKnown",
        r#"{"time": null, "any": null, "boxes": null, "value": null}"#,
    );
    let json = print("test.v1.WellKnown", &wire.expect("a message"));
    assert_eq!(
        json,
        json!({"value": null, "times": [], "anys": [], "boxes": []})
    );
    let error =
        encode("test.v1.Choice", r#"{"text": "a", "flag": false}"#).expect_err("two of one");
    assert_eq!(error.field(), "flag");
    encode("test.v1.Choice", r#"{"text": "a", "flag": null}"#).expect("null is unset");
}

#[test]
fn rule_6_unknown_names_are_refused_with_their_path() {
    for (json, field) in [
        (
            r#"{"tree": {"others": [{}, {"nope": 1}]}}"#,
            "tree.others[1].nope",
        ),
        (
            r#"{"tree": {"named": {"k": {"x": {"y": 1}}}}}"#,
            "tree.named[\"k\"].x",
        ),
        (
            r#"{"maps": {"messages": {"1": {"Astring": ""}}}}"#,
            "maps.messages[\"1\"].Astring",
        ),
    ] {
        assert_eq!(encode("test.v1.All", json).expect_err(json).field(), field);
    }
    let error = request("GET", "/v1/things?shelf.scalars.nope=1", "").expect_err("no such field");
    assert!(
        error.starts_with("query: shelf.scalars.nope: is not known"),
        "{error}"
    );
}

#[test]
fn rule_8_masks_name_what_the_json_names() {
    for (body, mask) in [
        (r#"{"theme": "t"}"#, "theme"),
        (r#"{"theme": null, "tags": ["a"]}"#, "theme,tags"),
        (
            r#"{"scalars": {"aBool": false, "aString": "x"}}"#,
            "scalars.aBool,scalars.aString",
        ),
        (r#"{"labels": {"k": "v"}, "time": null}"#, "labels,time"),
    ] {
        let made = made("PATCH", "/v1/shelves/1", body);
        assert_eq!(made["updateMask"], mask, "{body}");
    }
}

#[test]
fn rule_11_nothing_is_nested_without_end() {
    let deep = |levels: usize| format!("/v1/things?{}name=x", "shelf.".repeat(levels));
    request("GET", &deep(10_000), "").expect_err("no such path");
    let pool = contract(&[("Q", r#"get: "/q""#)]);
    let api = Api::compile(&pool).expect("a contract");
    let run = |levels: usize| {
        let query = format!("{}a=x", "m.".repeat(levels));
        let input = Input {
            query: &query,
            ..Input::default()
        };
        let mut wire = Vec::new();
        let found = api.find("GET", "/q").expect("a route");
        found
            .encode(&mut Encoder::default(), &input, &mut wire)
            .map(|()| DynamicMessage::decode(found.method().descriptor.input(), &*wire))
    };
    run(100).expect("100 levels").expect("decoders take them");
    for levels in [101, 102, 30_000] {
        run(levels).map(drop).expect_err("too deep");
    }
}

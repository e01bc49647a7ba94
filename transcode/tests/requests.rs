//! `google.api.http`: path, query and body made into one message, and the replies' way back.

mod support;

use serde_json::{Value, json};
use support::{API, compile, oracle_print, request, request_with};
use transcode::{Api, Encoder, Input, Printer, RouteError, TextTemplate};

/// The request without its empty fields.
fn made(verb: &str, uri: &str, body: &str) -> Value {
    let message = request(verb, uri, body).unwrap_or_else(|error| panic!("{verb} {uri}: {error}"));
    let options = prost_reflect::SerializeOptions::new();
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("JSON")
}

#[test]
fn requests_become_messages() {
    for (verb, uri, body, expected) in [
        ("GET", "/v1/shelves/7", "", json!({"name": "shelves/7"})),
        (
            "GET",
            "/v1/shelves/a%20b",
            "",
            json!({"name": "shelves/a b"}),
        ),
        (
            "GET",
            "/v1/shelves/a%2Fb%3a",
            "",
            json!({"name": "shelves/a%2Fb%3a"}),
        ),
        (
            "GET",
            "/v1/things/a%2Fb%3A+c/5",
            "",
            json!({"name": "a/b:+c", "size": 5}),
        ),
        ("GET", "/v1/files/a/b%20c/d", "", json!({"name": "a/b c/d"})),
        ("GET", "/v1/files", "", json!({})),
        (
            "GET",
            "/v1/colors/COLOR_RED",
            "",
            json!({"color": "COLOR_RED"}),
        ),
        ("GET", "/v1/colors/2", "", json!({"color": "COLOR_GREEN"})),
        ("GET", "/v1/colors/99", "", json!({"color": 99})),
        (
            "GET",
            "/v1/colors/-1",
            "",
            json!({"color": "COLOR_NEGATIVE"}),
        ),
        ("GET", "/v1/nested/x", "", json!({"shelf": {"name": "x"}})),
        (
            "GET",
            "/v1/since/2026-01-02T03:04:05Z",
            "",
            json!({"since": "2026-01-02T03:04:05Z"}),
        ),
        ("SEARCH", "/v1/things?size=3", "", json!({"size": 3})),
        ("GET", "/v1/things?", "", json!({})),
        ("GET", "/v1/things?&size=3&", "", json!({"size": 3})),
        (
            "GET",
            "/v1/things?tags=a&tags=&tags=b+c%2B",
            "",
            json!({"tags": ["a", "", "b c+"]}),
        ),
        (
            "GET",
            "/v1/things?colors=COLOR_RED&colors=2",
            "",
            json!({"colors": ["COLOR_RED", "COLOR_GREEN"]}),
        ),
        (
            "GET",
            "/v1/things?shelf.name=x&shelf.scalars.anInt64=-5&shelf.scalars.a_bool=true",
            "",
            json!({"shelf": {"name": "x", "scalars": {"anInt64": "-5", "aBool": true}}}),
        ),
        (
            "GET",
            "/v1/nested/x?shelf.theme=y&shelf.tags=1&shelf.tags=2",
            "",
            json!({"shelf": {"name": "x", "theme": "y", "tags": ["1", "2"]}}),
        ),
        (
            "GET",
            "/v1/things?since=2026-01-02T03:04:05%2B01:00&age=1.5s&box=0",
            "",
            json!({"since": "2026-01-02T02:04:05Z", "age": "1.500s", "box": 0}),
        ),
        (
            "GET",
            "/v1/things?flag=true&blob=-_8&maybe=0&number=0",
            "",
            json!({"flag": true, "blob": "+/8=", "maybe": 0, "number": "0"}),
        ),
        (
            "GET",
            "/v1/things?sh%65lf.name=%C3%A9",
            "",
            json!({"shelf": {"name": "é"}}),
        ),
        (
            "POST",
            "/v1/shops/1/shelves",
            r#"{"shelf": {"name": "x"}}"#,
            json!({"parent": "shops/1", "shelf": {"name": "x"}}),
        ),
        (
            "POST",
            "/v1/shops/1/shelves",
            "",
            json!({"parent": "shops/1"}),
        ),
        (
            "POST",
            "/v1/shops/1/shelves",
            r#"{"parent": null}"#,
            json!({"parent": "shops/1"}),
        ),
        (
            "POST",
            "/v1/choices/x",
            r#"{"choice": {"beside": "y"}}"#,
            json!({"choice": {"text": "x", "beside": "y"}}),
        ),
        (
            "POST",
            "/v1/shelfOnly?parent=p&choice.number=5",
            r#"{"name": "x"}"#,
            json!({"parent": "p", "shelf": {"name": "x"}, "choice": {"number": 5}}),
        ),
        ("POST", "/v1/shelfOnly", "null", json!({})),
        (
            "PUT",
            "/v1/shelves/1?validateOnly=true",
            r#"{"theme": "t"}"#,
            json!({"shelf": {"name": "shelves/1", "theme": "t"}, "validateOnly": true}),
        ),
        (
            "POST",
            "/v1/echo",
            "anything\0",
            json!({"contentType": "text/plain", "data": "YW55dGhpbmcA"}),
        ),
        (
            "POST",
            "/v1/raw/n",
            "x",
            json!({"name": "n", "body": {"contentType": "text/plain", "data": "eA=="}}),
        ),
        ("GET", "/v1/all", " \n", json!({})),
    ] {
        assert_eq!(made(verb, uri, body), expected, "{verb} {uri} {body}");
    }
}

#[test]
fn a_patch_derives_its_mask() {
    for (uri, body, mask) in [
        (
            "",
            r#"{"theme": "t", "scalars": {"anInt64": 0, "aString": null}}"#,
            "theme,scalars.anInt64,scalars.aString",
        ),
        (
            "",
            r#"{"tags": [], "labels": {"a": "b"}, "time": "2026-01-01T00:00:00Z"}"#,
            "tags,labels,time",
        ),
        ("", r#"{"scalars": {}, "color": null}"#, "scalars,color"),
        ("", "{}", ""),
        (
            "?updateMask=theme,scalars.anInt64",
            r#"{"theme": "t"}"#,
            "theme,scalars.anInt64",
        ),
        ("?update_mask=", r#"{"theme": "t"}"#, ""),
    ] {
        let made = made("PATCH", &format!("/v1/shelves/1{uri}"), body);
        assert_eq!(made["updateMask"], mask, "{uri} {body}");
        assert_eq!(made["shelf"]["name"], "shelves/1");
    }
    let put = made("PUT", "/v1/shelves/1", r#"{"theme": "t"}"#);
    assert_eq!(put.get("updateMask"), None, "only a PATCH changes parts");
}

#[test]
fn requests_that_do_not_fit_are_refused_with_their_place() {
    for (verb, uri, body, error) in [
        ("GET", "/v1/shelves/%zz", "", "path: name: "),
        ("GET", "/v1/shelves/%ff", "", "path: name: "),
        ("GET", "/v1/things/a/x", "", "path: size: "),
        ("GET", "/v1/colors/PINK", "", "path: color: "),
        ("GET", "/v1/since/today", "", "path: since: "),
        ("GET", "/v1/shelves/1", "{}", "body: must be empty"),
        (
            "GET",
            "/v1/shelves/1?name=x",
            "",
            "query: name: is set twice",
        ),
        ("GET", "/v1/things?nope=1", "", "query: nope: is not known"),
        (
            "GET",
            "/v1/things?shelf.nope=1",
            "",
            "query: shelf.nope: is not known",
        ),
        (
            "GET",
            "/v1/things?size.x=1",
            "",
            "query: size.x: is not known",
        ),
        (
            "GET",
            "/v1/things?size=1&size=2",
            "",
            "query: size: is set twice",
        ),
        (
            "GET",
            "/v1/things?size=",
            "",
            "query: size: must be an integer",
        ),
        (
            "GET",
            "/v1/things?size=99999999999",
            "",
            "query: size: is out of range",
        ),
        (
            "GET",
            "/v1/things?flag=1",
            "",
            "query: flag: must be true or false",
        ),
        (
            "GET",
            "/v1/things?text=a&number=1",
            "",
            "query: number: \"text\" is set already",
        ),
        (
            "GET",
            "/v1/things?shelf=1",
            "",
            "query: shelf: cannot stand in a query",
        ),
        (
            "GET",
            "/v1/things?shelves.name=1",
            "",
            "query: shelves.name: is not known",
        ),
        (
            "GET",
            "/v1/things?labels=1",
            "",
            "query: labels: cannot stand in a query",
        ),
        (
            "GET",
            "/v1/things?tags=%",
            "",
            "query: tags: has a malformed percent escape",
        ),
        (
            "GET",
            "/v1/nested/x?shelf.name=y",
            "",
            "query: shelf.name: is set twice",
        ),
        (
            "POST",
            "/v1/shops/1/shelves?parent=x",
            "{}",
            "query: parent: is taken from the body",
        ),
        (
            "POST",
            "/v1/shops/1/shelves",
            r#"{"parent": "x"}"#,
            "body: parent: is set by the path or a header already",
        ),
        (
            "POST",
            "/v1/choices/x",
            r#"{"choice": {"text": "y"}}"#,
            "body: choice.text: is set by the path or a header already",
        ),
        (
            "POST",
            "/v1/choices/x",
            r#"{"choice": {"number": 1}}"#,
            "body: choice.number: \"text\" is set already",
        ),
        (
            "PATCH",
            "/v1/shelves/1",
            r#"{"name": "x"}"#,
            "body: name: is set by the path or a header already",
        ),
        (
            "PATCH",
            "/v1/shelves/1?shelf.theme=x",
            "{}",
            "query: shelf.theme: is taken from the body",
        ),
        ("POST", "/v1/shelfOnly", "{", "body: malformed JSON"),
        ("POST", "/v1/shelfOnly", "\u{7f}", "body: malformed JSON"),
    ] {
        let found = request(verb, uri, body).expect_err(uri);
        assert!(found.starts_with(error), "{verb} {uri} {body}: {found}");
    }
    let many = format!("/v1/things?{}", "tags=a&".repeat(1_001));
    request("GET", &many, "").expect_err("too many parameters");
    let made = request_with(
        &mut Encoder::lenient(),
        "GET",
        "/v1/things?nope=1&size=2",
        "",
    );
    assert_eq!(oracle_print(&made.expect("lenient"))["size"], 2);
}

#[test]
fn replies_are_printed_as_the_route_says() {
    let printed = |verb: &str, uri: &str, message: &str, json: &str| {
        let wire = support::encode(message, json).expect("a reply");
        let found = API.find(verb, uri).expect("a route");
        let mut out = Vec::new();
        found
            .print(&mut Printer::default(), &wire, &mut out)
            .expect("JSON");
        serde_json::from_slice::<Value>(&out).expect("JSON")
    };
    let list = "test.v1.ListResponse";
    assert_eq!(printed("GET", "/v1/all", list, "{}"), json!([]));
    let shelves = printed(
        "GET",
        "/v1/all",
        list,
        r#"{"shelves": [{"name": "a"}, {"name": "b"}]}"#,
    );
    assert_eq!(shelves[1]["name"], "b");
    assert_eq!(
        printed("GET", "/v1/total", list, r#"{"total": 5}"#),
        json!("5")
    );
    assert_eq!(printed("GET", "/v1/total", list, "{}"), json!("0"));
    let create = "test.v1.CreateRequest";
    assert_eq!(
        printed("POST", "/v1/shops/1/shelves", create, "{}"),
        Value::Null
    );

    let raw = support::encode(
        "test.v1.Raw",
        r#"{"body": {"contentType": "image/png", "data": "AAE="}}"#,
    );
    let found = API.find("POST", "/v1/raw/x").expect("a route");
    let raw = raw.expect("a reply");
    let body = found
        .binding()
        .raw_response(API.schema(), &raw)
        .expect("a body");
    assert_eq!((body.content_type, body.data), ("image/png", &[0, 1][..]));
}

#[test]
fn other_methods_and_paths_are_told_apart() {
    let none = |verb, path| API.find(verb, path).map(drop).expect_err("no route");
    assert_eq!(none("GET", "/v2"), RouteError::NotFound);
    let allow = vec!["GET".into(), "HEAD".into(), "PATCH".into(), "PUT".into()];
    assert_eq!(
        none("DELETE", "/v1/shelves/1"),
        RouteError::MethodNotAllowed { allow }
    );
}

#[test]
fn locations_are_made_from_replies() {
    let id = API
        .schema()
        .message_id("test.v1.CreateRequest")
        .expect("a message");
    let compiled = |template| TextTemplate::compile(API.schema(), id, template);
    let wire = support::encode(
        "test.v1.CreateRequest",
        r#"{"parent": "a b/ü", "shelf": {"scalars": {"anInt64": -5}, "color": "COLOR_RED"}}"#,
    );
    let wire = wire.expect("a message");
    for (template, text) in [
        ("/x", Some("/x")),
        ("/x/{parent}/y", Some("/x/a%20b%2F%C3%BC/y")),
        (
            "{shelf.scalars.an_int64}-{shelf.color}",
            Some("-5-COLOR_RED"),
        ),
        ("/x/{choice.text}", None),
    ] {
        let found = compiled(template)
            .expect(template)
            .render(API.schema(), &wire);
        assert_eq!(found.expect("well-formed").as_deref(), text, "{template}");
    }
    for template in ["{nope}", "{parent", "{shelf}", "{shelf.tags}"] {
        compiled(template).expect_err(template);
    }
}

#[test]
fn contracts_that_cannot_be_served_are_refused_at_start() {
    let service = |rules: &str| {
        let source = format!(
            r#"syntax = "proto3"; package bad.v1; import "google/api/annotations.proto";
            message M {{ string a = 1; M m = 2; repeated string l = 3; }}
            service S {{ {rules} }}"#
        );
        Api::compile(&compile("bad.proto", Some(&source))).map(drop)
    };
    let rpc = |name: &str, rule: &str| {
        format!("rpc {name}(M) returns (M) {{ option (google.api.http) = {{{rule}}}; }}")
    };
    service(&rpc("A", r#"get: "/a/{a}""#)).expect("a good contract");
    for (rule, part) in [
        (r#"get: "a""#, "bad path template"),
        (r#"get: "/{nope}""#, "no field \"nope\""),
        (r#"get: "/{a}/{a}""#, "set twice"),
        (r#"get: "/{m}""#, "cannot stand in a path"),
        (r#"get: "/{l}""#, "cannot stand in a path"),
        (r#"get: "/{a.b}""#, "without parts"),
        (r#"post: "/a" body: "nope""#, "body: no field"),
        (
            r#"get: "/a" response_body: "nope""#,
            "response_body: no field",
        ),
        (r#"body: "*""#, "no path"),
    ] {
        let error = service(&rpc("A", rule)).expect_err(rule).to_string();
        assert!(
            error.contains(part) && error.contains("bad.v1.S.A"),
            "{rule}: {error}"
        );
    }
    let twice = rpc("A", r#"get: "/a/{a}""#) + &rpc("B", r#"get: "/a/{a=*}""#);
    let error = service(&twice).expect_err("the same route").to_string();
    assert!(
        error.contains("bad.v1.S.A") && error.contains("bad.v1.S.B"),
        "{error}"
    );
}

#[test]
fn an_encoder_that_failed_is_as_good_as_new() {
    let mut encoder = Encoder::default();
    let bad = Input {
        body: br#"{"shelf": {"scalars": {"aBool": 1}}}"#,
        ..Input::default()
    };
    let good = Input {
        body: br#"{"shelf": {"scalars": {"aBool": true}}}"#,
        ..Input::default()
    };
    let found = API.find("POST", "/v1/shops/1/shelves").expect("a route");
    for _ in 0..3 {
        let mut wire = Vec::new();
        found
            .encode(&mut encoder, &bad, &mut wire)
            .expect_err("no bool");
        wire.clear();
        found
            .encode(&mut encoder, &good, &mut wire)
            .expect("a bool");
    }
}

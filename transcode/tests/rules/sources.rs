//! Rules 3, 5, 6, 8 and 11: where fields come from, what queries can say, names that are not known, masks, depth.

use prost_reflect::DynamicMessage;
use serde_json::json;
use transcode::{Api, Encoder, Input};

use crate::{
    contract, made,
    support::{encode, print, request},
};

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

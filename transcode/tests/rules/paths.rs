//! Rules 1 and 2: templates and their variables.

use transcode::{Api, RouteError};

use crate::{contract, made, support::request};

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

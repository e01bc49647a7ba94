//! Rule 4: values of every kind, in and out.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use transcode::{Encoder, PrintOptions, Printer, Schema};

use crate::{
    json_of,
    support::{compile, encode, oracle_encode, print, same},
};

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
        let theirs = oracle_encode(&OLD, "old.v1.Old", json);
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

//! The proto3 JSON mapping, both ways, case by case against prost-reflect.

mod support;

use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _};
use serde_json::{Value, json};
use support::{API, POOL, encode, oracle_encode, oracle_print, print, same};
use transcode::{Encoder, PrintOptions, Printer};

/// Takes `json` in and out again, and compares both with the oracle.
fn agrees(message: &str, json: &str) -> Value {
    let wire = encode(message, json).unwrap_or_else(|error| panic!("{message} {json}: {error}"));
    let expected = oracle_encode(&POOL, message, json);
    let found = DynamicMessage::decode(expected.descriptor(), &*wire).expect("wire bytes");
    // NaN is not itself, so messages are compared as JSON too.
    let printed = print(message, &wire);
    let oracle = oracle_print(&expected);
    assert!(
        same(&printed, &oracle),
        "{message} {json}:\n{printed}\n{oracle}"
    );
    if !json.contains("NaN") {
        // Through the wire, which knows no zero values; and Debug does not end on recursive messages.
        let wire = expected.encode_to_vec();
        let expected = DynamicMessage::decode(expected.descriptor(), &*wire).expect("wire bytes");
        assert!(found == expected, "{message} {json}:\n{found}\n{expected}");
    }
    printed
}

#[test]
fn scalars_agree() {
    for json in [
        "{}",
        r#"{"aDouble": 1.5, "aFloat": -0.25, "anInt32": -7, "anInt64": "-9223372036854775808", "aUint32": 4294967295}"#,
        r#"{"aUint64": "18446744073709551615", "aSint32": -2147483648, "aSint64": "9223372036854775807"}"#,
        r#"{"aFixed32": 1, "aFixed64": 2, "aSfixed32": -3, "aSfixed64": "-4", "aBool": true, "aString": "ä\n\"\u00e9"}"#,
        r#"{"a_double": 1, "an_int32": 2, "a_string": "proto names"}"#,
        r#"{"aDouble": "NaN", "aFloat": "NaN"}"#,
        r#"{"aDouble": "Infinity", "aFloat": "-Infinity"}"#,
        r#"{"aDouble": "1.5e3", "aFloat": "2", "anInt32": "12", "aUint32": "0"}"#,
        r#"{"aDouble": 1e308, "aFloat": 3.4e38}"#,
        r#"{"anInt32": 1.0, "anInt64": 1e3, "aUint64": 2.50e1}"#,
        r#"{"anInt64": 9007199254740993, "aUint64": 18446744073709551615}"#,
        r#"{"aColor": "COLOR_RED"}"#,
        r#"{"aColor": 2}"#,
        r#"{"aColor": 77}"#,
        r#"{"aColor": -1}"#,
        r#"{"aBytes": "+/8="}"#,
        r#"{"aBytes": "-_8"}"#,
        r#"{"aBytes": "YQ"}"#,
        r#"{"aBytes": ""}"#,
        r#"{"aDouble": null, "aString": null, "aColor": null, "aBytes": null}"#,
        " {\n\t\"aBool\" : false ,\r\n \"aString\":\"\\ud83e\\udd80\" } ",
    ] {
        agrees("test.v1.Scalars", json);
    }
}

#[test]
fn integers_are_exact_in_strings_too() {
    for (field, text, printed) in [
        ("anInt64", "9223372036854775807", "9223372036854775807"),
        ("aUint64", "18446744073709551615", "18446744073709551615"),
        ("anInt64", "1e3", "1000"),
        ("anInt64", "-5.0", "-5"),
    ] {
        let wire = encode("test.v1.Scalars", &format!(r#"{{"{field}": "{text}"}}"#));
        let json = print("test.v1.Scalars", &wire.expect(text));
        assert_eq!(json[field], printed);
    }
}

#[test]
fn a_negative_zero_is_no_zero() {
    let wire = encode("test.v1.Scalars", r#"{"aDouble": -0.0, "aFloat": -0}"#).expect("a message");
    assert_eq!(wire.len(), 9 + 5);
    let printed = print("test.v1.Scalars", &wire);
    assert!(
        printed["aDouble"]
            .as_f64()
            .is_some_and(|value| value.is_sign_negative())
    );
}

#[test]
fn presence_is_kept() {
    for json in [
        "{}",
        r#"{"anInt32": 0, "aString": "", "aBool": false, "aColor": "COLOR_UNSPECIFIED", "aBytes": "", "aDouble": 0}"#,
        r#"{"anInt32": null}"#,
    ] {
        agrees("test.v1.Optionals", json);
    }
    assert_eq!(agrees("test.v1.Optionals", "{}"), json!({}));
}

#[test]
fn lists_and_maps_agree() {
    for json in [
        r#"{"ints": [], "strings": []}"#,
        r#"{"ints": [0, -1, 2147483647], "unpacked": [0, 5], "longs": ["1", 2], "doubles": [0, "NaN", 1.5]}"#,
        r#"{"bools": [true, false], "strings": ["", "a"], "blobs": ["", "AA=="], "colors": ["COLOR_RED", 0, 99]}"#,
        r#"{"messages": [{}, {"anInt32": 5}], "fixeds": [1, 2], "zigzags": [-1, "1"]}"#,
        r#"{"values": [null, 1, "x", true, [], {}]}"#,
        r#"{"ints": null}"#,
    ] {
        agrees("test.v1.Lists", json);
    }
    for json in [
        r#"{"texts": {"": "", "a\"b": "c"}, "messages": {"-1": {}, "5": {"aString": "x"}}}"#,
        r#"{"bools": {"true": "1", "false": 2}, "colors": {"18446744073709551615": "COLOR_RED"}}"#,
        r#"{"blobs": {"-5": "AA=="}, "fixeds": {"7": 1.5}, "values": {"a": null, "b": {"c": [1]}}}"#,
        r#"{"texts": {"a": "1", "a": "2"}}"#,
    ] {
        agrees("test.v1.Maps", json);
    }
}

#[test]
fn oneofs_agree() {
    for json in [
        "{}",
        r#"{"text": ""}"#,
        r#"{"number": 0, "beside": "x"}"#,
        r#"{"message": {}}"#,
        r#"{"nothing": null}"#,
        r#"{"nothing": "NULL_VALUE"}"#,
        r#"{"text": null, "number": 5}"#,
        r#"{"color": 0}"#,
    ] {
        agrees("test.v1.Choice", json);
    }
}

#[test]
fn well_known_types_agree() {
    for json in [
        r#"{"time": "2026-11-20T12:30:00Z", "span": "1.5s", "mask": "name,shelf.themeColor"}"#,
        r#"{"time": "1969-12-31T23:59:59.000001+01:00", "span": "-0.000000001s", "mask": ""}"#,
        r#"{"time": "9999-12-31T23:59:59.999999999Z", "span": "315576000000s"}"#,
        r#"{"structure": {"a": null, "b": {"c": [1, "x", true, {}]}, "": -1.5e-7}, "list": [[], {}, null]}"#,
        r#"{"value": null}"#,
        r#"{"value": {"a": [1, 2.5]}}"#,
        r#"{"value": "x"}"#,
        r#"{"value": 0}"#,
        r#"{"empty": {}}"#,
        r#"{"doubleBox": 0, "floatBox": 1.5, "int64Box": "5", "uint64Box": 6, "int32Box": 0, "uint32Box": 7}"#,
        r#"{"boolBox": false, "stringBox": "", "bytesBox": "AA"}"#,
        r#"{"doubleBox": null, "stringBox": null, "time": null, "any": null}"#,
        r#"{"times": ["2026-01-01T00:00:00Z"], "boxes": [0, "1"]}"#,
        r#"{"any": {"@type": "type.googleapis.com/test.v1.Scalars", "anInt32": 5}}"#,
        r#"{"any": {"anInt32": 5, "@type": "type.googleapis.com/test.v1.Scalars"}}"#,
        r#"{"any": {"value": "1.5s", "@type": "type.googleapis.com/google.protobuf.Duration"}}"#,
        r#"{"any": {"@type": "x/google.protobuf.Int64Value", "value": "5"}}"#,
        r#"{"any": {"@type": "x/google.protobuf.Struct", "value": {"a": 1}}}"#,
        r#"{"any": {"@type": "x/google.protobuf.Empty", "value": {}}}"#,
        r#"{"anys": [{"@type": "x/google.protobuf.Any", "value": {"@type": "x/test.v1.Tree", "name": "in"}}]}"#,
    ] {
        agrees("test.v1.WellKnown", json);
    }
}

#[test]
fn boxes_hold_what_json_has_no_number_for() {
    let wire = encode(
        "test.v1.WellKnown",
        r#"{"floatBox": "NaN", "doubleBox": "-Infinity"}"#,
    );
    let json = print("test.v1.WellKnown", &wire.expect("a message"));
    assert_eq!(
        (&json["floatBox"], &json["doubleBox"]),
        (&json!("NaN"), &json!("-Infinity"))
    );
}

#[test]
fn nested_and_renamed_fields_agree() {
    let json = r#"{"tree": {"name": "a", "left": {"right": {"others": [{}, {"name": "b"}]}}, "named": {"k": {"name": "c"}}},
        "other-name": "x", "farNumber": 5, "scalars": {"aString": "y"}, "choice": {"message": {"aBool": true}}}"#;
    agrees("test.v1.All", json);
    agrees(
        "test.v1.All",
        r#"{"renamed": "by its proto name", "far_number": 1}"#,
    );
    let long = format!(
        r#"{{"tree": {{"left": {{"name": "{}"}}}}}}"#,
        "x".repeat(100_000)
    );
    agrees("test.v1.All", &long);
}

#[test]
fn bad_json_is_refused_with_its_place() {
    for (message, json, field) in [
        ("Scalars", "", ""),
        ("Scalars", "[]", ""),
        ("Scalars", "null", ""),
        ("Scalars", "{", ""),
        ("Scalars", "{} x", ""),
        ("Scalars", r#"{"nope": 1}"#, "nope"),
        ("Scalars", r#"{"anInt32": 1.5}"#, "anInt32"),
        ("Scalars", r#"{"anInt32": 2147483648}"#, "anInt32"),
        ("Scalars", r#"{"anInt32": "x"}"#, "anInt32"),
        ("Scalars", r#"{"anInt32": ""}"#, "anInt32"),
        ("Scalars", r#"{"anInt32": " 1"}"#, "anInt32"),
        ("Scalars", r#"{"anInt32": {}}"#, "anInt32"),
        ("Scalars", r#"{"aUint32": -1}"#, "aUint32"),
        ("Scalars", r#"{"anInt64": 9223372036854775808}"#, "anInt64"),
        ("Scalars", r#"{"aUint64": 18446744073709551616}"#, "aUint64"),
        ("Scalars", r#"{"aUint64": 1e400}"#, "aUint64"),
        ("Scalars", r#"{"aDouble": 1e400}"#, "aDouble"),
        ("Scalars", r#"{"aFloat": 1e39}"#, "aFloat"),
        ("Scalars", r#"{"aDouble": NaN}"#, "aDouble"),
        ("Scalars", r#"{"aDouble": "inf"}"#, "aDouble"),
        ("Scalars", r#"{"aBool": 1}"#, "aBool"),
        ("Scalars", r#"{"aBool": "true"}"#, "aBool"),
        ("Scalars", r#"{"aString": 1}"#, "aString"),
        ("Scalars", r#"{"aString": "\ud800"}"#, "aString"),
        ("Scalars", r#"{"aBytes": "%"}"#, "aBytes"),
        ("Scalars", r#"{"aBytes": "A"}"#, "aBytes"),
        ("Scalars", r#"{"aColor": "RED"}"#, "aColor"),
        ("Scalars", r#"{"aColor": 1.5}"#, "aColor"),
        ("Scalars", r#"{"aColor": 2147483648}"#, "aColor"),
        ("Scalars", r#"{"anInt32": 1, "anInt32": 2}"#, "anInt32"),
        ("Scalars", r#"{"anInt32": 1, "an_int32": 2}"#, "anInt32"),
        ("Lists", r#"{"ints": 1}"#, "ints"),
        ("Lists", r#"{"ints": [1, "x"]}"#, "ints[1]"),
        ("Lists", r#"{"ints": [null]}"#, "ints[0]"),
        ("Lists", r#"{"ints": [1,]}"#, "ints"),
        (
            "Lists",
            r#"{"messages": [{}, {"aBool": 1}]}"#,
            "messages[1].aBool",
        ),
        ("Lists", r#"{"messages": [{}, null]}"#, "messages[1]"),
        ("Maps", r#"{"texts": []}"#, "texts"),
        ("Maps", r#"{"texts": {"a": null}}"#, "texts[\"a\"]"),
        ("Maps", r#"{"messages": {"x": {}}}"#, "messages[\"x\"]"),
        (
            "Maps",
            r#"{"messages": {"1": {"aBool": 0}}}"#,
            "messages[\"1\"].aBool",
        ),
        ("Maps", r#"{"bools": {"1": 1}}"#, "bools[\"1\"]"),
        ("Choice", r#"{"text": "a", "number": 1}"#, "number"),
        ("WellKnown", r#"{"time": "2026-11-20"}"#, "time"),
        ("WellKnown", r#"{"time": 5}"#, "time"),
        ("WellKnown", r#"{"span": "5"}"#, "span"),
        ("WellKnown", r#"{"mask": "a_b"}"#, "mask"),
        ("WellKnown", r#"{"structure": []}"#, "structure"),
        (
            "WellKnown",
            r#"{"structure": {"a": 1e999}}"#,
            "structure[\"a\"]",
        ),
        ("WellKnown", r#"{"list": {}}"#, "list"),
        ("WellKnown", r#"{"int64Box": "x"}"#, "int64Box"),
        ("WellKnown", r#"{"any": {"aBool": true}}"#, "any.@type"),
        (
            "WellKnown",
            r#"{"any": {"@type": "x/test.v1.Nope"}}"#,
            "any.@type",
        ),
        (
            "WellKnown",
            r#"{"any": {"@type": "test.v1.Tree"}}"#,
            "any.@type",
        ),
        (
            "WellKnown",
            r#"{"any": {"@type": "x/test.v1.Tree", "nope": 1}}"#,
            "any.nope",
        ),
        (
            "WellKnown",
            r#"{"any": {"@type": "x/google.protobuf.Duration"}}"#,
            "any.value",
        ),
        ("WellKnown", r#"{"empty": {"a": 1}}"#, "empty.a"),
    ] {
        let error = encode(&format!("test.v1.{message}"), json).expect_err(json);
        assert_eq!(error.field(), field, "{json}: {error}");
    }
}

#[test]
fn the_lenient_mode_steps_over_what_it_does_not_know() {
    let id = API.schema().message_id("test.v1.All").expect("a message");
    let json = br#"{"nope": [{"a": 1}], "scalars": {"x": {}, "aColor": "NEW", "anInt32": 5},
        "lists": {"colors": ["NEW", "COLOR_RED"]}, "maps": {"colors": {"1": "NEW", "2": "COLOR_RED"}}}"#;
    let mut wire = Vec::new();
    Encoder::lenient()
        .message(API.schema(), id, json, &mut wire)
        .expect("lenient");
    let json = print("test.v1.All", &wire);
    assert_eq!(json["scalars"]["anInt32"], 5);
    assert_eq!(json["scalars"]["aColor"], "COLOR_UNSPECIFIED");
    assert_eq!(json["lists"]["colors"], json!(["COLOR_RED"]));
    assert_eq!(json["maps"]["colors"], json!({"2": "COLOR_RED"}));
    let mut wire = Vec::new();
    let broken = Encoder::lenient().message(API.schema(), id, b"{\"nope\": [}", &mut wire);
    broken.expect_err("malformed JSON is never stepped over");
}

#[test]
fn what_is_nested_too_deep_for_decoders_is_refused() {
    let tree = |levels: usize| {
        let json = r#"{"left": "#.repeat(levels) + "{}" + &"}".repeat(levels);
        encode("test.v1.Tree", &json)
    };
    let descriptor = POOL.get_message_by_name("test.v1.Tree").expect("a message");
    let wire = tree(100).expect("100 levels");
    DynamicMessage::decode(descriptor, &*wire).expect("decoders take 100 levels");
    print("test.v1.Tree", &wire);
    tree(101).expect_err("101 levels");
    for levels in [200, 1_000_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let json = format!(
                r#"{{"value": {}1{}}}"#,
                open.repeat(levels),
                close.repeat(levels)
            );
            encode("test.v1.WellKnown", &json).expect_err("values are messages too");
            let json = format!(
                r#"{{"nope": {}1{}}}"#,
                open.repeat(levels),
                close.repeat(levels)
            );
            encode("test.v1.WellKnown", &json).expect_err("skipped values are nested too");
        }
    }
    let json = format!(r#"{{"value": {}1{}}}"#, "[".repeat(49), "]".repeat(49));
    let wire = encode("test.v1.WellKnown", &json).expect("49 arrays are 99 messages");
    let descriptor = POOL
        .get_message_by_name("test.v1.WellKnown")
        .expect("a message");
    DynamicMessage::decode(descriptor, &*wire).expect("decoders take it");
}

#[test]
fn anys_within_anys_end_somewhere() {
    let nested = |levels: usize| {
        let open = r#"{"value": "#.repeat(levels - 1);
        let close = r#", "@type": "x/google.protobuf.Any"}"#.repeat(levels - 1);
        let json = format!(r#"{{"any": {open}{{"@type": "x/test.v1.Tree"}}{close}}}"#);
        encode("test.v1.WellKnown", &json)
    };
    nested(8).expect("8 levels");
    nested(9).expect_err("9 levels");
}

#[test]
fn printing_makes_choices() {
    let wire = encode(
        "test.v1.All",
        r#"{"scalars": {"aColor": "COLOR_GREEN"}, "farNumber": 5}"#,
    );
    let wire = wire.expect("a message");
    let id = API.schema().message_id("test.v1.All").expect("a message");
    let printed = |options| {
        let mut json = Vec::new();
        Printer::new(options)
            .message(API.schema(), id, &wire, &mut json)
            .expect("JSON");
        serde_json::from_slice::<Value>(&json).expect("JSON")
    };
    let options = PrintOptions {
        defaults: false,
        ..PrintOptions::default()
    };
    assert_eq!(
        printed(options),
        json!({"scalars": {"aColor": "COLOR_GREEN"}, "farNumber": 5})
    );
    let options = PrintOptions {
        enum_numbers: true,
        proto_names: true,
        defaults: false,
    };
    assert_eq!(
        printed(options),
        json!({"scalars": {"a_color": 2}, "far_number": 5})
    );
}

#[test]
fn wire_bytes_in_any_order_and_in_parts_are_one_message() {
    // far_number, then tree in two parts with an unknown field between them, then scalars twice.
    let part = |json: &str| encode("test.v1.All", json).expect("a part");
    let wire = [
        part(r#"{"farNumber": 5}"#),
        part(r#"{"tree": {"name": "a", "others": [{}]}}"#),
        vec![0xf8, 0x3f, 1],
        part(r#"{"tree": {"left": {}, "others": [{"name": "b"}]}}"#),
        part(r#"{"scalars": {"anInt32": 1, "aString": "x"}}"#),
        part(r#"{"scalars": {"anInt32": 2}, "choice": {"text": "a"}}"#),
        part(r#"{"choice": {"number": 0}}"#),
    ]
    .concat();
    let descriptor = POOL.get_message_by_name("test.v1.All").expect("a message");
    let expected = DynamicMessage::decode(descriptor, &*wire).expect("wire bytes");
    assert!(same(&print("test.v1.All", &wire), &oracle_print(&expected)));
}

#[test]
fn well_known_messages_and_map_values_come_in_parts_too() {
    for (wire, json) in [
        // Value 5 of WellKnown: a list of null, then an empty list; then an unknown field.
        (
            &b"\x2a\x0a\x32\x04\x0a\x02\x08\x00\x32\x00\x38\x01"[..],
            json!([null]),
        ),
        // A string ends the run of lists.
        (
            b"\x2a\x0a\x32\x04\x0a\x02\x08\x00\x1a\x00\x32\x00"[..].into(),
            json!([]),
        ),
    ] {
        assert_eq!(print("test.v1.WellKnown", wire)["value"], json);
    }
    // Entry 2 of Maps with a value in two parts.
    let descriptor = POOL.get_message_by_name("test.v1.Maps").expect("a message");
    let wire = b"\x12\x0b\x08\x01\x12\x02\x18\x05\x12\x03\x72\x01a";
    let expected = DynamicMessage::decode(descriptor, &wire[..]).expect("wire bytes");
    assert!(same(&print("test.v1.Maps", wire), &oracle_print(&expected)));
}

#[test]
fn malformed_wire_bytes_are_an_error_and_no_panic() {
    let wire = encode(
        "test.v1.All",
        r#"{"tree": {"name": "abc"}, "maps": {"texts": {"a": "b"}}, "lists": {"ints": [1]}}"#,
    );
    let wire = wire.expect("a message");
    let id = API.schema().message_id("test.v1.All").expect("a message");
    for length in 0..wire.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = wire[..length].to_vec();
            if let Some(last) = bad.last_mut() {
                *last ^= flip;
            }
            let mut json = Vec::new();
            if Printer::default()
                .message(API.schema(), id, &bad, &mut json)
                .is_ok()
            {
                serde_json::from_slice::<Value>(&json).expect("what is printed is JSON");
            }
        }
    }
}

#[test]
fn an_any_of_an_unknown_type_stays_readable() {
    let any = [&b"\x3a\x0b\x0a\x05x/y.Z\x12\x02"[..], &[0xff, 0x00]].concat();
    let json = print("test.v1.WellKnown", &any);
    assert_eq!(json["any"], json!({"@type": "x/y.Z", "value": "/wA="}));
    assert_eq!(print("test.v1.WellKnown", b"\x3a\x00")["any"], json!({}));
}

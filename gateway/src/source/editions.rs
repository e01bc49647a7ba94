//! Files of editions, said in the words of proto3 or proto2: what descriptor pools know.
//!
//! An edition says for each field what older files say for all of theirs: whether it has presence, how it is repeated, how its
//! message is framed. All of that can be said of single fields in older words too. What cannot is refused.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};

/// `EDITION_2023` and `EDITION_2024`: for what is read here their defaults are the same.
const KNOWN: std::ops::RangeInclusive<i32> = 1000..=1001;

/// Numbers of `FeatureSet` and `FieldDescriptorProto`.
const IMPLICIT: i32 = 2;
const EXPANDED: i32 = 2;
const DELIMITED: i32 = 2;
const LABEL_REPEATED: i32 = 3;
const TYPE_GROUP: i32 = 10;
const TYPE_MESSAGE: i32 = 11;

/// What holds for a field, by what stands at it or at its file.
#[derive(Clone, Copy, Default)]
struct Features {
    is_implicit: bool,
    is_expanded: bool,
    is_delimited: bool,
}

impl Features {
    /// The features of an element of the file.
    fn at(mut self, element: &DynamicMessage) -> Self {
        let Some(options) = message(element, "options") else {
            return self;
        };
        let Some(features) = message(&options, "features") else {
            return self;
        };
        let set = |is: &mut bool, name: &str, value: i32| match number(&features, name) {
            0 => {}
            found => *is = found == value,
        };
        set(&mut self.is_implicit, "field_presence", IMPLICIT);
        set(&mut self.is_expanded, "repeated_field_encoding", EXPANDED);
        set(&mut self.is_delimited, "message_encoding", DELIMITED);
        self
    }
}

/// The same file without an edition.
///
/// # Errors
/// It is of an edition that is not known, or says what has no older words. Names the file.
pub(super) fn lowered(encoded: &[u8]) -> anyhow::Result<Bytes> {
    let descriptor =
        DescriptorPool::global().get_message_by_name("google.protobuf.FileDescriptorProto");
    let descriptor = descriptor.context("the build has no google/protobuf/descriptor.proto")?;
    // As a dynamic message, since that keeps the options that were not built in.
    let mut file = DynamicMessage::decode(descriptor, encoded)?;
    let name = text(&file, "name");
    let edition = number(&file, "edition");
    ensure!(
        KNOWN.contains(&edition),
        "{name}: it is of an edition that is not known here (number {edition}); 2023 and 2024 are"
    );
    let mut lowering = Lowering::default();
    let features = Features::default().at(&file);
    lowering.within(&mut file, features);
    ensure!(
        !(lowering.has_implicit && lowering.has_odd_enum),
        "{name}: an enum that begins with another number than 0 cannot stand in one file with fields without presence"
    );
    let syntax = if lowering.has_odd_enum {
        "proto2"
    } else {
        "proto3"
    };
    file.set_field_by_name("syntax", Value::String(syntax.to_owned()));
    file.clear_field_by_name("edition");
    Ok(file.encode_to_vec().into())
}

#[derive(Default)]
struct Lowering {
    /// Only proto3 has such fields.
    has_implicit: bool,
    /// Only proto2 has such enums.
    has_odd_enum: bool,
}

impl Lowering {
    /// All that a file or message has.
    fn within(&mut self, parent: &mut DynamicMessage, features: Features) {
        let nested = match parent.descriptor().name() {
            "FileDescriptorProto" => "message_type",
            _ => "nested_type",
        };
        let entries: Vec<_> = list(parent, nested)
            .iter()
            .filter_map(Value::as_message)
            .filter(|nested| is_map_entry(nested))
            .map(|entry| format!(".{}.{}", text(parent, "name"), text(entry, "name")))
            .collect();
        for kind in ["field", "extension"] {
            each(parent, kind, |field| {
                let features = features.at(field);
                self.field(field, features, &entries);
            });
        }
        each(parent, "enum_type", |enumeration| {
            let values = list(enumeration, "value");
            let first = values.first().and_then(Value::as_message);
            self.has_odd_enum |= first.is_some_and(|first| number(first, "number") != 0);
        });
        each(parent, nested, |message| {
            // Keys and values of maps are what they always were.
            if !is_map_entry(message) {
                self.within(message, features);
            }
        });
    }

    fn field(&mut self, field: &mut DynamicMessage, features: Features, entries: &[String]) {
        let kind = number(field, "type");
        let type_name = text(field, "type_name");
        let is_map = entries.iter().any(|entry| type_name.ends_with(entry));
        if kind == TYPE_MESSAGE && features.is_delimited && !is_map {
            field.set_field_by_name("type", Value::EnumNumber(TYPE_GROUP));
        }
        let is_repeated = number(field, "label") == LABEL_REPEATED;
        if is_repeated && !matches!(kind, TYPE_MESSAGE | TYPE_GROUP) {
            let options = field.get_field_by_name_mut("options");
            if let Some(options) = options.and_then(Value::as_message_mut) {
                options.set_field_by_name("packed", Value::Bool(!features.is_expanded));
            }
        }
        let has_own_presence = kind == TYPE_MESSAGE || field.has_field_by_name("oneof_index");
        if is_repeated || has_own_presence || field.has_field_by_name("extendee") {
            return;
        }
        if features.is_implicit {
            self.has_implicit = true;
        } else {
            field.set_field_by_name("proto3_optional", Value::Bool(true));
        }
    }
}

fn is_map_entry(message: &DynamicMessage) -> bool {
    let options = self::message(message, "options");
    let is_entry = options.and_then(|options| {
        let value = options.get_field_by_name("map_entry")?;
        value.as_bool()
    });
    is_entry.unwrap_or_default()
}

fn message(of: &DynamicMessage, field: &str) -> Option<DynamicMessage> {
    if !of.has_field_by_name(field) {
        return None;
    }
    of.get_field_by_name(field)?.as_message().cloned()
}

fn number(of: &DynamicMessage, field: &str) -> i32 {
    let value = of.get_field_by_name(field);
    let number = value.and_then(|value| value.as_enum_number().or_else(|| value.as_i32()));
    number.unwrap_or_default()
}

fn text(of: &DynamicMessage, field: &str) -> String {
    let value = of.get_field_by_name(field);
    let text = value.and_then(|value| value.as_str().map(ToOwned::to_owned));
    text.unwrap_or_default()
}

fn list(of: &DynamicMessage, field: &str) -> Vec<Value> {
    let value = of.get_field_by_name(field);
    let list = value.and_then(|value| value.as_list().map(<[_]>::to_vec));
    list.unwrap_or_default()
}

/// Changes each message of a list; a field that is not there has none.
fn each(of: &mut DynamicMessage, field: &str, mut change: impl FnMut(&mut DynamicMessage)) {
    if !of.has_field_by_name(field) {
        return;
    }
    let list = of.get_field_by_name_mut(field).and_then(Value::as_list_mut);
    for value in list.into_iter().flatten() {
        if let Some(message) = value.as_message_mut() {
            change(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use transcode::{Api, Encoder, Input, Printer};

    use super::super::files::Files;

    fn api(set: &'static [u8]) -> Api {
        let mut files = Files::default();
        files.add_set(set.into()).expect("a contract");
        let pool = files.pool().expect("a pool");
        Api::compile(&pool).expect("routes")
    }

    /// The wire bytes of a body, and the JSON that is made of them.
    fn there_and_back(api: &Api, path: &str, json: &str) -> (Vec<u8>, String) {
        let found = api.find("POST", path).expect("a route");
        let input = Input {
            body: json.as_bytes(),
            ..Input::default()
        };
        let mut wire = Vec::new();
        let made = found.encode(&mut Encoder::default(), &input, &mut wire);
        made.unwrap_or_else(|error| panic!("{json}: {error}"));
        let mut back = Vec::new();
        let printed = found.print(&mut Printer::default(), &wire, &mut back);
        printed.expect("JSON");
        (wire, String::from_utf8(back).expect("UTF-8"))
    }

    #[test]
    fn fields_are_what_their_features_say() {
        let api = api(include_bytes!("../../tests/editions/editions.binpb"));
        for (json, wire) in [
            // Without presence the zero value is not sent; with it, it is.
            (r#"{"implicit":""}"#, &b""[..]),
            (r#"{"explicit":""}"#, b"\x12\0"),
            (r#"{"required":0}"#, b"\x18\0"),
            (r#"{"packed":[1,2]}"#, b"\x22\x02\x01\x02"),
            (r#"{"expanded":[1,2]}"#, b"\x28\x01\x28\x02"),
            (r#"{"prefixed":{"text":"a"}}"#, b"\x32\x03\x0a\x01a"),
            (r#"{"delimited":{"text":"a"}}"#, b"\x3b\x0a\x01a\x3c"),
            (
                r#"{"entries":{"k":{"text":"a"}}}"#,
                b"\x42\x08\x0a\x01k\x12\x03\x0a\x01a",
            ),
            (r#"{"kind":"KIND_KNOWN"}"#, b"\x48\x01"),
            (r#"{"kind":7}"#, b"\x48\x07"),
            (r#"{"right":""}"#, b"\x5a\0"),
        ] {
            let (made, back) = there_and_back(&api, "/v1/mixed", json);
            assert_eq!(made, wire, "{json}");
            let inner = &json[1..json.len() - 1];
            assert!(json.contains("implicit") || back.contains(inner), "{back}");
        }
    }

    #[test]
    fn a_file_speaks_for_its_fields_and_enums_begin_anywhere() {
        let api = api(include_bytes!("../../tests/editions/closed.binpb"));
        for (json, wire) in [
            (r#""choice":"CHOICE_FIRST""#, &b"\x08\x01"[..]),
            (
                r#""more":["CHOICE_SECOND","CHOICE_FIRST"]"#,
                b"\x10\x02\x10\x01",
            ),
            (r#""packed":["CHOICE_SECOND"]"#, b"\x1a\x01\x02"),
            (r#""part":{"text":"a"}"#, b"\x23\x0a\x01a\x24"),
            // But not for maps.
            (
                r#""parts":{"k":{"text":"a"}}"#,
                b"\x2a\x08\x0a\x01k\x12\x03\x0a\x01a",
            ),
        ] {
            let (made, back) = there_and_back(&api, "/v1/chosen", &format!("{{{json}}}"));
            assert_eq!(made, wire, "{json}");
            assert!(back.contains(json), "{back}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_files_name() {
        // name = "a.proto", syntax = "editions", edition = 1002.
        let unknown = b"\x0a\x07a.proto\x62\x08editions\x70\xea\x07";
        let error = Files::default()
            .add(unknown.to_vec().into())
            .expect_err("an edition");
        let error = format!("{error:#}");
        assert!(
            error.contains("a.proto") && error.contains("1002"),
            "{error}"
        );
    }
}

//! Random messages, held against prost-reflect.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use transcode::{Encoder, Printer, Schema};

use super::{oracle_print, same};

/// Deepest nesting of a random message.
const MAX_DEPTH: u32 = 4;

/// Random bytes, used up choice by choice: shrinking them shrinks the message.
pub(crate) struct Choices<'c>(pub(crate) &'c [u8]);

impl Choices<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    fn number(&mut self) -> u64 {
        let bytes: [u8; 8] = std::array::from_fn(|_| self.byte());
        match bytes[0] % 4 {
            0 => u64::from(bytes[1]),
            1 => u64::MAX - u64::from(bytes[1]),
            2 => 1 << (bytes[1] % 64),
            _ => u64::from_le_bytes(bytes),
        }
    }

    fn text(&mut self) -> String {
        let length = self.byte() % 6;
        (0..length)
            .map(|_| match self.byte() {
                byte @ 0..=160 => char::from(byte),
                byte => ['€', '🦀', '\u{2028}', '"', '\\', '/'][usize::from(byte) % 6],
            })
            .collect()
    }
}

pub(crate) fn message(
    choices: &mut Choices<'_>,
    descriptor: MessageDescriptor,
    depth: u32,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let seconds = (choices.number() % 315_537_897_600) as i64 - 62_135_596_800;
            message.set_field_by_name("seconds", Value::I64(seconds));
            message.set_field_by_name("nanos", Value::I32(nanos(choices)));
            return message;
        }
        "google.protobuf.Duration" => {
            let sign = if choices.byte().is_multiple_of(2) {
                1
            } else {
                -1
            };
            let seconds = (choices.number() % 315_576_000_000) as i64;
            message.set_field_by_name("seconds", Value::I64(seconds * i64::from(sign)));
            message.set_field_by_name("nanos", Value::I32(nanos(choices) * sign));
            return message;
        }
        "google.protobuf.FieldMask" => {
            let paths = ["a", "name.display_name", "x.y_z"].map(|path| Value::String(path.into()));
            let count = usize::from(choices.byte() % 4);
            message.set_field_by_name("paths", Value::List(paths[..count].to_vec()));
            return message;
        }
        "google.protobuf.Any" => {
            let inner = descriptor
                .parent_pool()
                .get_message_by_name("google.protobuf.Duration");
            let inner = self::message(choices, inner.expect("imported"), depth + 1);
            let url = "type.googleapis.com/google.protobuf.Duration".to_owned();
            message.set_field_by_name("type_url", Value::String(url));
            message.set_field_by_name("value", Value::Bytes(inner.encode_to_vec().into()));
            return message;
        }
        _ => {}
    }
    for field in descriptor.fields() {
        let is_value = descriptor.full_name() == "google.protobuf.Value";
        let nested = matches!(field.kind(), Kind::Message(_));
        if (choices.byte().is_multiple_of(3) && !is_value) || (nested && depth >= MAX_DEPTH) {
            continue;
        }
        let value = field_value(choices, &field, depth);
        message.set_field(&field, value);
        if is_value && choices.byte().is_multiple_of(3) {
            break; // A oneof: the last one stays.
        }
    }
    if descriptor.full_name() == "google.protobuf.Value" && message.fields().next().is_none() {
        message.set_field_by_name("bool_value", Value::Bool(true));
    }
    message
}

fn nanos(choices: &mut Choices<'_>) -> i32 {
    let nanos = (choices.number() % 1_000_000_000) as i32;
    match choices.byte() % 4 {
        0 => 0,
        1 => nanos / 1_000_000 * 1_000_000,
        2 => nanos / 1_000 * 1_000,
        _ => nanos,
    }
}

fn field_value(choices: &mut Choices<'_>, field: &FieldDescriptor, depth: u32) -> Value {
    let count = choices.byte() % 4;
    if field.is_map() {
        let kind = field.kind();
        let entry = kind.as_message().expect("a map's entry");
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return Value::Map(
            (0..count)
                .map(|_| (map_key(choices, &key), single(choices, &value, depth)))
                .collect(),
        );
    }
    if field.is_list() {
        return Value::List((0..count).map(|_| single(choices, field, depth)).collect());
    }
    single(choices, field, depth)
}

fn map_key(choices: &mut Choices<'_>, field: &FieldDescriptor) -> MapKey {
    match single(choices, field, 0) {
        Value::Bool(value) => MapKey::Bool(value),
        Value::I32(value) => MapKey::I32(value),
        Value::I64(value) => MapKey::I64(value),
        Value::U32(value) => MapKey::U32(value),
        Value::U64(value) => MapKey::U64(value),
        Value::String(value) => MapKey::String(value),
        other => panic!("no key: {other:?}"),
    }
}

fn single(choices: &mut Choices<'_>, field: &FieldDescriptor, depth: u32) -> Value {
    let in_value = field.parent_message().full_name() == "google.protobuf.Value";
    match field.kind() {
        Kind::Double => {
            let value = f64::from_bits(choices.number());
            // NaN is not itself; JSON values have no infinity.
            let usable = if in_value {
                value.is_finite()
            } else {
                !value.is_nan()
            };
            Value::F64(if usable { value } else { 0.5 })
        }
        Kind::Float => {
            let value = f32::from_bits(choices.number() as u32);
            Value::F32(if value.is_nan() { 0.5 } else { value })
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(choices.number() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(choices.number() as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(choices.number() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(choices.number()),
        Kind::Bool => Value::Bool(choices.byte().is_multiple_of(2)),
        Kind::String => Value::String(choices.text()),
        Kind::Bytes => Value::Bytes(choices.text().into_bytes().into()),
        Kind::Enum(found) if found.full_name() == "google.protobuf.NullValue" => {
            Value::EnumNumber(0)
        }
        Kind::Enum(found) => {
            let values: Vec<_> = found.values().map(|value| value.number()).collect();
            let choice = usize::from(choices.byte());
            Value::EnumNumber(values.get(choice).copied().unwrap_or(choice as i32))
        }
        Kind::Message(found) => Value::Message(message(choices, found, depth + 1)),
    }
}

/// Holds a random message of `descriptor` against the oracle: printed, read again, and read from the oracle's JSON.
pub(crate) fn agrees(schema: &Schema, descriptor: &MessageDescriptor, choices: &mut Choices<'_>) {
    let made = message(choices, descriptor.clone(), 0).encode_to_vec();
    let expected = DynamicMessage::decode(descriptor.clone(), &*made).expect("wire bytes");
    let id = schema
        .message_id(descriptor.full_name())
        .expect("in the pool");

    let mut json = Vec::new();
    let printed = Printer::default().message(schema, id, &made, &mut json);
    printed.unwrap_or_else(|error| panic!("{error}: {expected}"));
    let found: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let oracle = oracle_print(&expected);
    assert!(
        same(&found, &oracle),
        "{}:
{found}
{oracle}",
        descriptor.full_name()
    );

    let theirs = serde_json::to_vec(&oracle).expect("JSON");
    for json in [&json, &theirs] {
        let mut wire = Vec::new();
        let read = Encoder::default().message(schema, id, json, &mut wire);
        read.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(json)));
        let back = DynamicMessage::decode(descriptor.clone(), &*wire).expect("wire bytes");
        // Debug does not end on recursive messages.
        assert!(back == expected, "{back}\n{expected}");
    }
}

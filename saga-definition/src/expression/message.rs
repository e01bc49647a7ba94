//! Protobuf messages to CEL values and back.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Value,
    objects::{Key, Map},
};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _,
    Value as Field,
};

use super::Fault;

/// Deepest message that expressions may read or make.
const MAX_MESSAGE_DEPTH: usize = 64;

/// A message as expressions see it: a map from field names. Scalars have their defaults; unset messages are absent.
pub fn from_message(message: &DynamicMessage) -> Value {
    from_message_at(message, 0)
}

fn from_message_at(message: &DynamicMessage, depth: usize) -> Value {
    let descriptor = message.descriptor();
    match descriptor.full_name() {
        "google.protobuf.Struct" => return first_field(message, depth),
        "google.protobuf.ListValue" => return first_field(message, depth),
        "google.protobuf.Value" => {
            return message
                .fields()
                .next()
                .map_or(Value::Null, |(field, value)| match field.name() {
                    "null_value" => Value::Null,
                    _ => from_field(value, depth),
                });
        }
        _ => {}
    }
    let mut members = HashMap::new();
    for field in descriptor.fields() {
        if message.has_field(&field) || !field.supports_presence() {
            let value = message.get_field(&field);
            members.insert(Key::from(field.name()), from_field(&value, depth));
        }
    }
    Value::Map(Map {
        map: Arc::new(members),
    })
}

fn first_field(message: &DynamicMessage, depth: usize) -> Value {
    let field = message
        .descriptor()
        .get_field(1)
        .expect("well-known types have their field 1");
    from_field(&message.get_field(&field), depth)
}

fn from_field(value: &Field, depth: usize) -> Value {
    // What is deeper than any expression can reach is left out.
    if depth > MAX_MESSAGE_DEPTH {
        return Value::Null;
    }
    match value {
        Field::Bool(value) => Value::Bool(*value),
        Field::I32(value) => Value::Int((*value).into()),
        Field::I64(value) => Value::Int(*value),
        Field::U32(value) => Value::UInt((*value).into()),
        Field::U64(value) => Value::UInt(*value),
        Field::F32(value) => Value::Float((*value).into()),
        Field::F64(value) => Value::Float(*value),
        Field::String(value) => Value::String(Arc::new(value.clone())),
        Field::Bytes(value) => Value::Bytes(Arc::new(value.to_vec())),
        Field::EnumNumber(value) => Value::Int((*value).into()),
        Field::Message(value) => from_message_at(value, depth + 1),
        Field::List(values) => Value::List(Arc::new(
            values
                .iter()
                .map(|value| from_field(value, depth + 1))
                .collect(),
        )),
        Field::Map(values) => Value::Map(Map {
            map: Arc::new(
                values
                    .iter()
                    .map(|(key, value)| (from_key(key), from_field(value, depth + 1)))
                    .collect(),
            ),
        }),
    }
}

fn from_key(key: &MapKey) -> Key {
    match key {
        MapKey::Bool(value) => Key::Bool(*value),
        MapKey::I32(value) => Key::Int((*value).into()),
        MapKey::I64(value) => Key::Int(*value),
        MapKey::U32(value) => Key::Uint((*value).into()),
        MapKey::U64(value) => Key::Uint(*value),
        MapKey::String(value) => Key::String(Arc::new(value.clone())),
    }
}

/// Makes a message of what an expression yielded.
///
/// # Errors
/// Names the field whose value does not fit, e.g. `lines[2].quantity`.
pub fn to_message(value: &Value, descriptor: &MessageDescriptor) -> Result<DynamicMessage, Fault> {
    message_at(value, descriptor, "").map_err(Fault::from)
}

fn message_at(
    value: &Value,
    descriptor: &MessageDescriptor,
    path: &str,
) -> Result<DynamicMessage, String> {
    if matches!(
        descriptor.full_name(),
        "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue"
    ) {
        return json_like(value, descriptor, path);
    }
    let Value::Map(members) = value else {
        return Err(format!(
            "{} must be a {}",
            place(path),
            descriptor.full_name()
        ));
    };
    let mut message = DynamicMessage::new(descriptor.clone());
    for (key, value) in members.map.iter() {
        let Key::String(name) = key else {
            return Err(format!("{}: keys are field names", place(path)));
        };
        let field = descriptor.get_field_by_name(name).ok_or_else(|| {
            format!(
                "{}: {} has no field `{name}`",
                place(path),
                descriptor.full_name()
            )
        })?;
        if matches!(value, Value::Null) {
            continue;
        }
        let path = if path.is_empty() {
            name.to_string()
        } else {
            format!("{path}.{name}")
        };
        message.set_field(&field, field_value(value, &field, &path)?);
    }
    Ok(message)
}

fn place(path: &str) -> &str {
    if path.is_empty() { "the request" } else { path }
}

fn field_value(value: &Value, field: &FieldDescriptor, path: &str) -> Result<Field, String> {
    if field.is_list() {
        let Value::List(values) = value else {
            return Err(format!("{path} must be a list"));
        };
        let values = values.iter().enumerate();
        return values
            .map(|(index, value)| single(value, &field.kind(), &format!("{path}[{index}]")))
            .collect::<Result<_, _>>()
            .map(Field::List);
    }
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let Value::Map(members) = value else {
            return Err(format!("{path} must be a map"));
        };
        let (keys, values) = (
            entry.map_entry_key_field().kind(),
            entry.map_entry_value_field().kind(),
        );
        return members
            .map
            .iter()
            .map(|(key, value)| {
                let path = format!("{path}[{key:?}]");
                let key = single(&Value::from(key.clone()), &keys, &path)?
                    .into_map_key()
                    .ok_or_else(|| format!("{path} is no key"))?;
                Ok((key, single(value, &values, &path)?))
            })
            .collect::<Result<_, String>>()
            .map(Field::Map);
    }
    single(value, &field.kind(), path)
}

fn single(value: &Value, kind: &Kind, path: &str) -> Result<Field, String> {
    let misfit = || format!("{path} must be a {}", super::Type::of_kind(kind));
    let range = |_| format!("{path} is out of range");
    Ok(match kind {
        Kind::Message(descriptor) => Field::Message(message_at(value, descriptor, path)?),
        Kind::Enum(descriptor) => match value {
            Value::String(name) => Field::EnumNumber(
                descriptor
                    .get_value_by_name(name)
                    .ok_or_else(|| {
                        format!("{path}: `{name}` is no value of {}", descriptor.full_name())
                    })?
                    .number(),
            ),
            _ => {
                Field::EnumNumber(i32::try_from(integer(value).ok_or_else(misfit)?).map_err(range)?)
            }
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Field::I32(i32::try_from(integer(value).ok_or_else(misfit)?).map_err(range)?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Field::I64(i64::try_from(integer(value).ok_or_else(misfit)?).map_err(range)?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Field::U32(u32::try_from(integer(value).ok_or_else(misfit)?).map_err(range)?)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            Field::U64(u64::try_from(integer(value).ok_or_else(misfit)?).map_err(range)?)
        }
        #[allow(clippy::cast_possible_truncation)]
        Kind::Float => Field::F32(number(value).ok_or_else(misfit)? as f32),
        Kind::Double => Field::F64(number(value).ok_or_else(misfit)?),
        Kind::Bool => match value {
            Value::Bool(value) => Field::Bool(*value),
            _ => return Err(misfit()),
        },
        Kind::String => match value {
            Value::String(value) => Field::String(value.to_string()),
            _ => return Err(misfit()),
        },
        Kind::Bytes => match value {
            Value::Bytes(value) => Field::Bytes(value.to_vec().into()),
            _ => return Err(misfit()),
        },
    })
}

/// A whole number. JSON's numbers are floating point: they count where they are whole and exact.
fn integer(value: &Value) -> Option<i128> {
    /// Beyond it a double no longer tells neighbours apart.
    const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Int(value) => Some((*value).into()),
        Value::UInt(value) => Some((*value).into()),
        #[allow(clippy::cast_possible_truncation)]
        Value::Float(value) if value.fract() == 0.0 && value.abs() <= MAX_EXACT => {
            Some(*value as i128)
        }
        _ => None,
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        Value::UInt(value) => Some(*value as f64),
        _ => None,
    }
}

fn json_like(
    value: &Value,
    descriptor: &MessageDescriptor,
    path: &str,
) -> Result<DynamicMessage, String> {
    let json = json(value, path, 0)?;
    DynamicMessage::deserialize(descriptor.clone(), json)
        .map_err(|_| format!("{} must be a {}", place(path), descriptor.full_name()))
}

fn json(value: &Value, path: &str, depth: usize) -> Result<serde_json::Value, String> {
    use serde_json::Value as Json;
    if depth > MAX_MESSAGE_DEPTH {
        return Err(format!("{} is too deep", place(path)));
    }
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::UInt(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::List(values) => Json::Array(
            values
                .iter()
                .map(|value| json(value, path, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        Value::Map(members) => Json::Object(
            members
                .map
                .iter()
                .map(|(key, value)| match key {
                    Key::String(key) => Ok((key.to_string(), json(value, path, depth + 1)?)),
                    _ => Err(format!("{}: keys must be strings", place(path))),
                })
                .collect::<Result<_, String>>()?,
        ),
        _ => return Err(format!("{} has a part that JSON cannot say", place(path))),
    })
}

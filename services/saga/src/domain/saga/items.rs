//! The items of a step as bytes for the log: evaluated once, the same ever after.

use std::{collections::HashMap, sync::Arc};

use cel::{
    Value,
    objects::{Key, Map},
};
use prost::{
    bytes::{Buf, BufMut},
    encoding::{decode_varint, encode_varint},
};

/// Deepest value; beyond what messages and expressions can make.
const MAX_DEPTH: usize = 128;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const UINT: u8 = 4;
const FLOAT: u8 = 5;
const STRING: u8 = 6;
const BYTES: u8 = 7;
const LIST: u8 = 8;
const MAP: u8 = 9;

/// The bytes of a list's elements.
///
/// # Errors
/// A value that is no data, such as a function.
pub(super) fn encode(items: &[Value]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    put_length(items.len(), &mut bytes);
    for item in items {
        put(item, &mut bytes)?;
    }
    Ok(bytes)
}

/// How many elements [`encode`] wrote.
pub fn count(mut bytes: &[u8]) -> usize {
    length(&mut bytes).unwrap_or(0)
}

/// As many elements of which nothing is known.
pub fn blank(count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 4);
    put_length(count, &mut bytes);
    bytes.resize(bytes.len() + count, NULL);
    bytes
}

/// The elements that [`encode`] wrote.
///
/// # Errors
/// Other bytes.
pub(super) fn decode(mut bytes: &[u8]) -> Result<Vec<Value>, String> {
    let count = length(&mut bytes)?;
    let items = (0..count)
        .map(|_| get(&mut bytes, 0))
        .collect::<Result<_, _>>()?;
    if bytes.is_empty() {
        Ok(items)
    } else {
        Err("bytes after the items".to_owned())
    }
}

fn put(value: &Value, bytes: &mut Vec<u8>) -> Result<(), String> {
    match value {
        Value::Null => bytes.put_u8(NULL),
        Value::Bool(value) => bytes.put_u8(if *value { TRUE } else { FALSE }),
        Value::Int(value) => {
            bytes.put_u8(INT);
            bytes.put_i64(*value);
        }
        Value::UInt(value) => {
            bytes.put_u8(UINT);
            bytes.put_u64(*value);
        }
        Value::Float(value) => {
            bytes.put_u8(FLOAT);
            bytes.put_f64(*value);
        }
        Value::String(text) => put_text(STRING, text.as_bytes(), bytes),
        Value::Bytes(value) => put_text(BYTES, value, bytes),
        Value::List(values) => {
            bytes.put_u8(LIST);
            put_length(values.len(), bytes);
            for value in values.iter() {
                put(value, bytes)?;
            }
        }
        Value::Map(map) => {
            bytes.put_u8(MAP);
            put_length(map.map.len(), bytes);
            for (key, value) in map.map.iter() {
                put(&Value::from(key.clone()), bytes)?;
                put(value, bytes)?;
            }
        }
        other => return Err(format!("an item holds a {}", other.type_of())),
    }
    Ok(())
}

fn put_text(tag: u8, text: &[u8], bytes: &mut Vec<u8>) {
    bytes.put_u8(tag);
    put_length(text.len(), bytes);
    bytes.put_slice(text);
}

fn put_length(length: usize, bytes: &mut Vec<u8>) {
    encode_varint(length as u64, bytes);
}

fn get(bytes: &mut &[u8], depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err("an item is too deep".to_owned());
    }
    let short = || "an item ends early".to_owned();
    let number =
        |bytes: &mut &[u8]| -> Result<u64, String> { bytes.try_get_u64().map_err(|_| short()) };
    Ok(match bytes.try_get_u8().map_err(|_| short())? {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(number(bytes)?.cast_signed()),
        UINT => Value::UInt(number(bytes)?),
        FLOAT => Value::Float(f64::from_bits(number(bytes)?)),
        STRING => Value::String(Arc::new(
            String::from_utf8(text(bytes)?).map_err(|_| "an item's text is no UTF-8".to_owned())?,
        )),
        BYTES => Value::Bytes(Arc::new(text(bytes)?)),
        LIST => {
            let count = length(bytes)?;
            let values = (0..count).map(|_| get(bytes, depth + 1));
            Value::List(Arc::new(values.collect::<Result<_, _>>()?))
        }
        MAP => {
            let count = length(bytes)?;
            let mut map = HashMap::new();
            for _ in 0..count {
                let key = get(bytes, depth + 1)?;
                map.insert(key_of(key)?, get(bytes, depth + 1)?);
            }
            Value::Map(Map { map: Arc::new(map) })
        }
        tag => return Err(format!("an item has the unknown tag {tag}")),
    })
}

fn key_of(value: Value) -> Result<Key, String> {
    match value {
        Value::Int(value) => Ok(Key::Int(value)),
        Value::UInt(value) => Ok(Key::Uint(value)),
        Value::Bool(value) => Ok(Key::Bool(value)),
        Value::String(value) => Ok(Key::String(value)),
        _ => Err("an item has a map with a key that is none".to_owned()),
    }
}

fn text(bytes: &mut &[u8]) -> Result<Vec<u8>, String> {
    let length = length(bytes)?;
    let Some((text, rest)) = bytes.split_at_checked(length) else {
        return Err("an item ends early".to_owned());
    };
    *bytes = rest;
    Ok(text.to_vec())
}

/// Never more than there are bytes: what follows takes one each at least.
fn length(bytes: &mut &[u8]) -> Result<usize, String> {
    let length = decode_varint(bytes).map_err(|error| error.to_string())?;
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= bytes.len())
        .ok_or_else(|| "an item ends early".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_as_they_were() {
        let map = HashMap::from([
            (Key::from("a"), Value::List(Arc::new(vec![Value::Int(-1)]))),
            (Key::Bool(true), Value::Bytes(Arc::new(vec![0, 255]))),
            (Key::Uint(7), Value::Null),
        ]);
        let items = [
            Value::UInt(u64::MAX),
            Value::Float(0.5),
            Value::Bool(false),
            Value::String(Arc::new("ä".to_owned())),
            Value::Map(Map { map: Arc::new(map) }),
        ];
        let bytes = encode(&items).expect("data");
        assert_eq!(decode(&bytes).expect("our own"), items);
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(count(&bytes), items.len());
        assert_eq!(
            decode(&blank(2)).expect("our own"),
            [Value::Null, Value::Null]
        );
        let mut more = bytes;
        more.push(NULL);
        assert!(decode(&more).is_err());
    }
}

//! Bounds of the well-known types, which no rule in the contract can give them.

use prost_reflect::{DynamicMessage, Value, prost::Message as _};

use super::{
    NO_NUL, NUL,
    wire::{LEN, Raw, Records, VARINT},
};

/// Most paths of a FieldMask.
const MAX_PATHS: usize = 100;
/// Longest path of a FieldMask, in bytes: refusals repeat it.
const MAX_PATH_BYTES: usize = 200;
/// Largest Struct, Value or ListValue, in bytes of its encoding.
const MAX_STRUCT_BYTES: usize = 256 * 1024;
/// Years 1 to 9999, in seconds since 1970.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Some 10,000 years, in seconds.
const MAX_DURATION_SECONDS: i64 = 315_576_000_000;
/// Nanoseconds below a second.
const MAX_NANOS: i64 = 999_999_999;

/// What bounds a well-known type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    Timestamp,
    Duration,
    FieldMask,
    Struct,
}

impl Bound {
    /// The bound of the message with this full name, where it is a well-known type that has one.
    pub(super) fn of(message: &str) -> Option<Self> {
        match message {
            "google.protobuf.Timestamp" => Some(Self::Timestamp),
            "google.protobuf.Duration" => Some(Self::Duration),
            "google.protobuf.FieldMask" => Some(Self::FieldMask),
            "google.protobuf.Struct" | "google.protobuf.Value" | "google.protobuf.ListValue" => {
                Some(Self::Struct)
            }
            _ => None,
        }
    }

    /// What is wrong with the message, where something is.
    pub(super) fn broken(self, message: &DynamicMessage) -> Option<String> {
        match self {
            Self::Timestamp => {
                let (seconds, nanos) = seconds_and_nanos(message);
                (!is_timestamp(seconds, nanos))
                    .then(|| "must be a time of the years 1 to 9999".to_owned())
            }
            Self::Duration => {
                let (seconds, nanos) = seconds_and_nanos(message);
                (!is_duration(seconds, nanos))
                    .then(|| "must be a duration of at most 10,000 years".to_owned())
            }
            Self::FieldMask => {
                let paths = message.get_field_by_name("paths")?;
                let paths = paths.as_list()?;
                let is_long = |path: &Value| {
                    path.as_str()
                        .is_some_and(|path| path.len() > MAX_PATH_BYTES)
                };
                if paths.len() > MAX_PATHS {
                    Some(format!("must have at most {MAX_PATHS} paths"))
                } else {
                    (paths.iter().any(is_long))
                        .then(|| format!("must have paths of at most {MAX_PATH_BYTES} bytes"))
                }
            }
            Self::Struct if message.encoded_len() > MAX_STRUCT_BYTES => {
                Some(format!("must have at most {MAX_STRUCT_BYTES} bytes"))
            }
            Self::Struct => has_nul(message).then(|| NO_NUL.to_owned()),
        }
    }

    /// Whether these bytes of the message surely hold no more than may be. What the texts of a Struct hold is not looked at.
    pub(super) fn surely_holds(self, bytes: &[u8]) -> bool {
        let holds = |is_good: fn(i64, i64) -> bool| {
            let read = read_seconds_and_nanos(bytes);
            read.is_some_and(|(seconds, nanos)| is_good(seconds, nanos.into()))
        };
        match self {
            Self::Timestamp => holds(is_timestamp),
            Self::Duration => holds(is_duration),
            Self::FieldMask => are_paths(bytes).is_some(),
            // Another encoder may leave out less.
            Self::Struct => bytes.len() <= MAX_STRUCT_BYTES / 4,
        }
    }
}

fn is_timestamp(seconds: i64, nanos: i64) -> bool {
    TIMESTAMP_SECONDS.contains(&seconds) && (0..=MAX_NANOS).contains(&nanos)
}

fn is_duration(seconds: i64, nanos: i64) -> bool {
    seconds.unsigned_abs() <= MAX_DURATION_SECONDS.unsigned_abs()
        && nanos.unsigned_abs() <= MAX_NANOS.unsigned_abs()
        && seconds.signum() * nanos.signum() >= 0
}

/// The fields of a Timestamp or a Duration; `None` where they are not as encoders write them.
fn read_seconds_and_nanos(bytes: &[u8]) -> Option<(i64, i32)> {
    let mut records = Records::new(bytes);
    let mut read = |number: u32| match records.eat(number << 3 | VARINT) {
        true => match records.value(VARINT)? {
            Raw::Number(value) => Some(value.cast_signed()),
            Raw::Bytes(_) => None,
        },
        false => Some(0),
    };
    let (seconds, nanos) = (read(1)?, read(2)?);
    let nanos = i32::try_from(nanos).ok()?;
    records.is_empty().then_some((seconds, nanos))
}

/// `Some` where these are the bytes of a FieldMask that is neither long nor has long paths.
fn are_paths(bytes: &[u8]) -> Option<()> {
    let mut records = Records::new(bytes);
    let mut count = 0;
    while records.eat(1 << 3 | LEN) {
        let Raw::Bytes(path) = records.value(LEN)? else {
            return None;
        };
        count += 1;
        (path.len() <= MAX_PATH_BYTES).then_some(())?;
    }
    (records.is_empty() && count <= MAX_PATHS).then_some(())
}

/// Whether a text anywhere in a message holds U+0000. As deep as decoders let messages be.
fn has_nul(message: &DynamicMessage) -> bool {
    fn value_has(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains(NUL),
            Value::Message(inner) => has_nul(inner),
            Value::List(items) => items.iter().any(value_has),
            Value::Map(entries) => entries.iter().any(|(key, value)| {
                key.as_str().is_some_and(|key| key.contains(NUL)) || value_has(value)
            }),
            _ => false,
        }
    }
    message.fields().any(|(_, value)| value_has(value))
}

fn seconds_and_nanos(message: &DynamicMessage) -> (i64, i64) {
    let seconds = message
        .get_field_by_name("seconds")
        .and_then(|value| value.as_i64());
    let nanos = message
        .get_field_by_name("nanos")
        .and_then(|value| value.as_i32());
    (
        seconds.unwrap_or_default(),
        nanos.map(i64::from).unwrap_or_default(),
    )
}

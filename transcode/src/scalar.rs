//! One scalar from text to the wire: of a JSON string, a path variable or a query parameter.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::{
    InputError, number,
    schema::{Kind, Schema},
    wire::{put_varint, zigzag},
};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Value,
    /// The zero value, which fields without presence leave out.
    Zero,
    /// Nothing was written: an enum name that is not known, in lenient mode.
    Ignored,
}

impl Written {
    fn zero_if(zero: bool) -> Self {
        if zero { Self::Zero } else { Self::Value }
    }
}

/// Writes a number, without tag.
pub(crate) fn put_number(out: &mut Vec<u8>, kind: Kind, text: &str) -> Result<Written, InputError> {
    let zero = match kind {
        Kind::Double => put_double(out, number::double(text).map_err(InputError::new)?),
        Kind::Float => put_float(out, number::float(text).map_err(InputError::new)?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => {
            let value = signed(text)?;
            let value = i32::try_from(value).map_err(|_| out_of_range())?;
            match kind {
                Kind::Sfixed32 => out.extend_from_slice(&value.to_le_bytes()),
                Kind::Sint32 => put_varint(out, zigzag(value.into())),
                _ => put_varint(out, i64::from(value) as u64),
            }
            value == 0
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            let value = signed(text)?;
            match kind {
                Kind::Sfixed64 => out.extend_from_slice(&value.to_le_bytes()),
                Kind::Sint64 => put_varint(out, zigzag(value)),
                _ => put_varint(out, value as u64),
            }
            value == 0
        }
        Kind::Uint32 | Kind::Fixed32 => {
            let value = u32::try_from(unsigned(text)?).map_err(|_| out_of_range())?;
            match kind {
                Kind::Fixed32 => out.extend_from_slice(&value.to_le_bytes()),
                _ => put_varint(out, value.into()),
            }
            value == 0
        }
        Kind::Uint64 | Kind::Fixed64 => {
            let value = unsigned(text)?;
            match kind {
                Kind::Fixed64 => out.extend_from_slice(&value.to_le_bytes()),
                _ => put_varint(out, value),
            }
            value == 0
        }
        _ => return Err(InputError::new(wanted(kind))),
    };
    Ok(Written::zero_if(zero))
}

/// Writes what a JSON string stands for, without tag.
pub(crate) fn put_text(
    out: &mut Vec<u8>,
    schema: &Schema,
    kind: Kind,
    text: &str,
    lenient: bool,
) -> Result<Written, InputError> {
    match kind {
        Kind::String => {
            put_varint(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
            Ok(Written::zero_if(text.is_empty()))
        }
        Kind::Bytes => put_base64(out, text),
        Kind::Enum(id) => match schema.enumeration(id).number(text) {
            Some(number) => {
                put_varint(out, i64::from(number) as u64);
                Ok(Written::zero_if(number == 0))
            }
            None if lenient => Ok(Written::Ignored),
            None => Err(InputError::new(format!("has no value {text:?}"))),
        },
        Kind::Double | Kind::Float => {
            let special = match text {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => return put_number(out, kind, text),
            };
            match kind {
                Kind::Double => put_double(out, special),
                _ => put_float(out, special as f32),
            };
            Ok(Written::Value)
        }
        Kind::Bool | Kind::Message(_) | Kind::Group(_) => Err(InputError::new(wanted(kind))),
        _ => put_number(out, kind, text),
    }
}

/// As [`put_text`] for paths, queries and map keys, where all values are text: also booleans and enum numbers.
pub(crate) fn put_parameter(
    out: &mut Vec<u8>,
    schema: &Schema,
    kind: Kind,
    text: &str,
    lenient: bool,
) -> Result<Written, InputError> {
    match (kind, text) {
        (Kind::Bool, "true") => Ok(put_bool(out, true)),
        (Kind::Bool, "false") => Ok(put_bool(out, false)),
        (Kind::Enum(_), _) if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            put_number(out, kind, text)
        }
        _ => put_text(out, schema, kind, text, lenient),
    }
}

pub(crate) fn put_bool(out: &mut Vec<u8>, value: bool) -> Written {
    out.push(value.into());
    Written::zero_if(!value)
}

fn put_double(out: &mut Vec<u8>, value: f64) -> bool {
    out.extend_from_slice(&value.to_le_bytes());
    value.to_bits() == 0
}

fn put_float(out: &mut Vec<u8>, value: f32) -> bool {
    out.extend_from_slice(&value.to_le_bytes());
    value.to_bits() == 0
}

/// Standard or URL-safe alphabet, padded or not.
fn put_base64(out: &mut Vec<u8>, text: &str) -> Result<Written, InputError> {
    let start = crate::wire::open_length(out);
    let engine = if text.bytes().any(|byte| matches!(byte, b'-' | b'_')) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine
        .decode_vec(text, out)
        .map_err(|_| InputError::new("must be base64"))?;
    let empty = out.len() == start;
    crate::wire::close_length(out, start);
    Ok(Written::zero_if(empty))
}

fn signed(text: &str) -> Result<i64, InputError> {
    let value = number::integer(text).map_err(InputError::new)?;
    value.signed().ok_or_else(out_of_range)
}

fn unsigned(text: &str) -> Result<u64, InputError> {
    let value = number::integer(text).map_err(InputError::new)?;
    if value.negative && value.magnitude != 0 {
        return Err(InputError::new("must not be negative"));
    }
    value.unsigned().ok_or_else(out_of_range)
}

#[cold]
fn out_of_range() -> InputError {
    InputError::new(number::OUT_OF_RANGE)
}

/// What a value of the kind must be, for people.
pub(crate) fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Double | Kind::Float => number::NOT_A_NUMBER,
        Kind::Bool => "must be true or false",
        Kind::String => "must be a string",
        Kind::Bytes => "must be a string of base64",
        Kind::Enum(_) => "must be the name or number of an enum value",
        Kind::Message(_) | Kind::Group(_) => "must be an object",
        _ => "must be an integer",
    }
}

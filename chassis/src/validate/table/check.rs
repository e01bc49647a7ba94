//! The rules of one value, for its wire bytes.

use std::ops::{Bound, RangeInclusive};

use contracts::buf::validate::{
    DoubleRules, StringRules,
    double_rules::{GreaterThan, LessThan},
    field_rules::Type,
    string_rules::WellKnown,
};
use prost_reflect::Kind;
use regex::Regex;

use crate::validate::{
    rules::Compiled,
    violations::{Bounds, bounds_32, bounds_64, is_email, is_uuid},
    wire::Raw,
};

/// What is asked of a value.
pub(super) enum Check {
    Nothing,
    Text(Box<Text>),
    Int32(RangeInclusive<i64>),
    Int64(RangeInclusive<i64>),
    Double((Bound<f64>, Bound<f64>)),
    /// The numbers that have names, sorted.
    Enum(Box<[i32]>),
    /// The message with this index; it is looked at by the table.
    Message(usize),
}

impl Check {
    /// What the rules ask of a value of this kind, which is no message; `None` where the table does not know such rules.
    pub(super) fn of(kind: &Kind, compiled: Option<&Compiled>) -> Option<Self> {
        let rules = compiled.and_then(|compiled| compiled.rules.r#type.as_ref());
        let pattern = compiled.and_then(|compiled| compiled.pattern.as_ref());
        Some(match (kind, rules) {
            (Kind::String, None) => Self::text(&StringRules::default(), None),
            (Kind::String, Some(Type::String(rules))) => Self::text(rules, pattern),
            (Kind::Int32, Some(Type::Int32(rules))) => Self::Int32(range(bounds_32(rules))),
            (Kind::Int64, Some(Type::Int64(rules))) => Self::Int64(range(bounds_64(rules))),
            (Kind::Double, Some(Type::Double(rules))) => Self::Double(double_range(rules)),
            (Kind::Enum(_), Some(Type::Enum(rules))) if !rules.defined_only() => Self::Nothing,
            (Kind::Enum(values), Some(Type::Enum(_))) => {
                let mut numbers: Vec<_> = values.values().map(|value| value.number()).collect();
                numbers.sort_unstable();
                Self::Enum(numbers.into())
            }
            (_, None) => Self::Nothing,
            _ => return None,
        })
    }

    fn text(rules: &StringRules, pattern: Option<&Regex>) -> Self {
        Self::Text(Box::new(Text::of(rules, pattern)))
    }

    /// Whether a value surely keeps the rules.
    pub(super) fn keeps(&self, value: Raw<'_>) -> bool {
        match (self, value) {
            (Self::Nothing, _) => true,
            (Self::Text(text), Raw::Bytes(bytes)) => text.keeps(bytes),
            (Self::Int32(range), Raw::Number(number)) => {
                let number = number.cast_signed();
                i32::try_from(number).is_ok() && range.contains(&number)
            }
            (Self::Int64(range), Raw::Number(number)) => range.contains(&number.cast_signed()),
            (Self::Double(range), Raw::Number(bits)) => {
                let number = f64::from_bits(bits);
                // What is no number keeps no bound.
                std::ops::RangeBounds::contains(range, &number)
            }
            (Self::Enum(numbers), Raw::Number(number)) => i32::try_from(number.cast_signed())
                .is_ok_and(|number| numbers.binary_search(&number).is_ok()),
            _ => false,
        }
    }
}

/// What is asked of a text.
pub(super) struct Text {
    characters: RangeInclusive<u64>,
    bytes: RangeInclusive<u64>,
    pattern: Option<Regex>,
    form: Form,
}

enum Form {
    Any,
    Email,
    Uuid,
}

impl Text {
    fn of(rules: &StringRules, pattern: Option<&Regex>) -> Self {
        Self {
            characters: rules.min_len()..=rules.max_len.unwrap_or(u64::MAX),
            bytes: rules.min_bytes()..=rules.max_bytes.unwrap_or(u64::MAX),
            pattern: pattern.cloned(),
            form: match rules.well_known {
                Some(WellKnown::Email(true)) => Form::Email,
                Some(WellKnown::Uuid(true)) => Form::Uuid,
                _ => Form::Any,
            },
        }
    }

    fn keeps(&self, bytes: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return false;
        };
        // No more characters than bytes.
        let length = bytes.len() as u64;
        let is_counted = self.characters.contains(&length) && bytes.is_ascii();
        !bytes.contains(&0)
            && self.bytes.contains(&length)
            && (is_counted || self.characters.contains(&(text.chars().count() as u64)))
            && self.pattern.as_ref().is_none_or(|form| form.is_match(text))
            && match self.form {
                Form::Any => true,
                Form::Email => is_email(text),
                Form::Uuid => is_uuid(text),
            }
    }
}

fn range((least, most): Bounds) -> RangeInclusive<i64> {
    least.unwrap_or(i64::MIN)..=most.unwrap_or(i64::MAX)
}

fn double_range(rules: &DoubleRules) -> (Bound<f64>, Bound<f64>) {
    let least = match rules.greater_than {
        Some(GreaterThan::Gt(bound)) => Bound::Excluded(bound),
        Some(GreaterThan::Gte(bound)) => Bound::Included(bound),
        None => Bound::Unbounded,
    };
    let most = match rules.less_than {
        Some(LessThan::Lt(bound)) => Bound::Excluded(bound),
        Some(LessThan::Lte(bound)) => Bound::Included(bound),
        None => Bound::Unbounded,
    };
    (least, most)
}

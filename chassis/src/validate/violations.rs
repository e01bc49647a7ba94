//! Looks at a message rule by rule: what is wrong with it, and where.

use std::{collections::HashSet, fmt, sync::LazyLock};

use contracts::buf::validate::{
    DoubleRules, Ignore, Int32Rules, Int64Rules, StringRules, double_rules, field_rules::Type,
    int32_rules, int64_rules, string_rules::WellKnown,
};
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use regex::Regex;

use super::{
    NO_NUL, NUL,
    rules::{Compiled, Rules},
};
use crate::error::Violation;

/// Most violations that one answer lists.
const MAX_VIOLATIONS: usize = 50;
/// A practical form of an address: something, `@`, a domain. Whether it exists only an e-mail can tell.
const EMAIL: &str = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$";

static EMAIL_FORM: LazyLock<Regex> = LazyLock::new(|| Regex::new(EMAIL).expect("a constant"));

impl Rules {
    /// All violations of a message, in the order of its fields.
    pub(super) fn check(&self, message: &DynamicMessage) -> Vec<Violation> {
        let mut found = Vec::new();
        self.check_message(message, Place::Root, &mut found);
        found.truncate(MAX_VIOLATIONS);
        found
    }
}

/// Where a value stands; put into words only where something is wrong with it.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    Root,
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => formatter.write_str(name),
            Self::Field(message, name) => write!(formatter, "{message}.{name}"),
            Self::Item(list, index) => write!(formatter, "{list}[{index}]"),
        }
    }
}

impl Place<'_> {
    fn violation(self, text: impl Into<String>) -> Violation {
        Violation::new(self.to_string(), text)
    }
}

impl Rules {
    fn check_message(&self, message: &DynamicMessage, path: Place<'_>, found: &mut Vec<Violation>) {
        let Some(rules) = self.get(message.descriptor().full_name()) else {
            return;
        };
        if let Some(bound) = rules.bound {
            found.extend(bound.broken(message).map(|text| path.violation(text)));
            return;
        }
        for oneof in &rules.oneofs {
            if !oneof.fields().any(|field| message.has_field(&field)) {
                let names: Vec<_> = oneof
                    .fields()
                    .map(|field| field.json_name().to_owned())
                    .collect();
                let names = names.join("|");
                found.push(Place::Field(&path, &names).violation("one of these must be set"));
            }
        }
        for (field, compiled) in &rules.fields {
            let place = Place::Field(&path, field.json_name());
            let is_set = message.has_field(field);
            if compiled.rules.required() && !is_set {
                found.push(place.violation("must be set"));
                continue;
            }
            if compiled.rules.ignore() == Ignore::Always || (!is_set && compiled.skips_unset(field))
            {
                continue;
            }
            self.check_value(&message.get_field(field), compiled, place, found);
        }
    }

    pub(super) fn check_value(
        &self,
        value: &Value,
        compiled: &Compiled,
        place: Place<'_>,
        found: &mut Vec<Violation>,
    ) {
        let mut say = |text: String| found.push(place.violation(text));
        match (value, &compiled.rules.r#type) {
            (Value::String(text), rules) => {
                if text.contains(NUL) {
                    say(NO_NUL.to_owned());
                }
                if let Some(Type::String(rules)) = rules {
                    check_string(text, rules, compiled.pattern.as_ref(), &mut say);
                }
            }
            (Value::I32(number), Some(Type::Int32(rules))) => {
                check_range(i64::from(*number), bounds_32(rules), &mut say)
            }
            (Value::I64(number), Some(Type::Int64(rules))) => {
                check_range(*number, bounds_64(rules), &mut say)
            }
            (Value::F64(number), Some(Type::Double(rules))) => {
                check_double(*number, rules, &mut say)
            }
            (Value::EnumNumber(number), _) if compiled.lacks_value(*number) => {
                say("must be one of the named values".to_owned());
            }
            (Value::List(items), rules) => {
                if let Some(Type::Repeated(list)) = rules {
                    let count = items.len() as u64;
                    if list.min_items.is_some_and(|least| count < least) {
                        say(format!("must have at least {} item(s)", list.min_items()));
                    }
                    if list.max_items.is_some_and(|most| count > most) {
                        say(format!("must have at most {} item(s)", list.max_items()));
                        return;
                    }
                    if list.unique() && holds_twice(items) {
                        say("must not hold an item twice".to_owned());
                    }
                }
                for (index, item) in items.iter().enumerate() {
                    let place = Place::Item(&place, index);
                    match (item, &compiled.items) {
                        (Value::Message(message), _) => self.check_message(message, place, found),
                        (item, Some(rules)) => self.check_value(item, rules, place, found),
                        _ => {}
                    }
                }
            }
            (Value::Message(message), _) => self.check_message(message, place, found),
            _ => {}
        }
    }
}

fn check_string(
    text: &str,
    rules: &StringRules,
    pattern: Option<&Regex>,
    say: &mut impl FnMut(String),
) {
    let characters = text.chars().count() as u64;
    let bytes = text.len() as u64;
    if rules.min_len.is_some_and(|least| characters < least) {
        say(if text.is_empty() {
            "must not be empty".to_owned()
        } else {
            format!("must have at least {} characters", rules.min_len())
        });
    }
    if rules.max_len.is_some_and(|most| characters > most) {
        say(format!("must have at most {} characters", rules.max_len()));
    }
    if rules.min_bytes.is_some_and(|least| bytes < least) {
        say(format!("must have at least {} bytes", rules.min_bytes()));
    }
    if rules.max_bytes.is_some_and(|most| bytes > most) {
        say(format!("must have at most {} bytes", rules.max_bytes()));
    }
    if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
        say(format!("must match {}", rules.pattern()));
    }
    match rules.well_known {
        Some(WellKnown::Email(true)) if !is_email(text) => {
            say("must be an e-mail address".to_owned())
        }
        Some(WellKnown::Uuid(true)) if !is_uuid(text) => say("must be a UUID".to_owned()),
        _ => {}
    }
}

/// Whether some item is there more than once.
fn holds_twice(items: &[Value]) -> bool {
    let mut seen = HashSet::new();
    !items.iter().all(|item| seen.insert(item.to_string()))
}

/// Whether it has the form of an e-mail address.
pub(super) fn is_email(text: &str) -> bool {
    EMAIL_FORM.is_match(text)
}

/// The hyphenated form only: other spellings of one id would be other keys elsewhere.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// Least and greatest allowed value.
pub(super) type Bounds = (Option<i64>, Option<i64>);

pub(super) fn bounds_32(rules: &Int32Rules) -> Bounds {
    let least = rules.greater_than.map(|bound| match bound {
        int32_rules::GreaterThan::Gt(value) => i64::from(value) + 1,
        int32_rules::GreaterThan::Gte(value) => i64::from(value),
    });
    let most = rules.less_than.map(|bound| match bound {
        int32_rules::LessThan::Lt(value) => i64::from(value) - 1,
        int32_rules::LessThan::Lte(value) => i64::from(value),
    });
    (least, most)
}

pub(super) fn bounds_64(rules: &Int64Rules) -> Bounds {
    let least = rules.greater_than.map(|bound| match bound {
        int64_rules::GreaterThan::Gt(value) => value.saturating_add(1),
        int64_rules::GreaterThan::Gte(value) => value,
    });
    let most = rules.less_than.map(|bound| match bound {
        int64_rules::LessThan::Lt(value) => value.saturating_sub(1),
        int64_rules::LessThan::Lte(value) => value,
    });
    (least, most)
}

fn check_range(number: i64, (least, most): Bounds, say: &mut impl FnMut(String)) {
    if least.is_some_and(|least| number < least) {
        say(format!("must be at least {}", least.unwrap_or_default()));
    }
    if most.is_some_and(|most| number > most) {
        say(format!("must be at most {}", most.unwrap_or_default()));
    }
}

/// What is no number keeps no bound.
fn check_double(number: f64, rules: &DoubleRules, say: &mut impl FnMut(String)) {
    match rules.greater_than {
        Some(double_rules::GreaterThan::Gt(bound)) if number <= bound || number.is_nan() => {
            say(format!("must be greater than {bound}"));
        }
        Some(double_rules::GreaterThan::Gte(bound)) if number < bound || number.is_nan() => {
            say(format!("must be at least {bound}"));
        }
        _ => {}
    }
    match rules.less_than {
        Some(double_rules::LessThan::Lt(bound)) if number >= bound || number.is_nan() => {
            say(format!("must be less than {bound}"));
        }
        Some(double_rules::LessThan::Lte(bound)) if number > bound || number.is_nan() => {
            say(format!("must be at most {bound}"));
        }
        _ => {}
    }
}

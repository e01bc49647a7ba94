//! Checks messages against the `buf.validate` rules in the contract, and well-known types against bounds of our own.

mod well_known;

use std::{collections::HashMap, fmt, sync::LazyLock};

use contracts::{
    DESCRIPTOR_POOL,
    buf::validate::{
        DoubleRules, EnumRules, FieldRules, Ignore, Int32Rules, Int64Rules, OneofRules,
        StringRules, double_rules, field_rules::Type, int32_rules, int64_rules,
        string_rules::WellKnown,
    },
};
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor,
    ReflectMessage, Value,
};
use regex::Regex;

use self::well_known::Bound;
use crate::error::Violation;

/// Most violations that one answer lists.
const MAX_VIOLATIONS: usize = 50;
/// No text holds it: PostgreSQL cannot store it, and programs in C end a text at it.
const NUL: char = '\0';
const NO_NUL: &str = "must not hold the letter U+0000";
/// A practical form of an address: something, `@`, a domain. Whether it exists only an e-mail can tell.
const EMAIL: &str = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$";

/// All violations of a message, in the order of its fields; empty where it keeps every rule.
pub(crate) fn check<M: ReflectMessage>(message: &M) -> Vec<Violation> {
    let mut found = Vec::new();
    let descriptor = message.descriptor();
    if RULES
        .get(descriptor.full_name())
        .is_some_and(|rules| !rules.is_empty())
    {
        check_message(&message.transcode_to_dynamic(), Place::Root, &mut found);
    }
    found.truncate(MAX_VIOLATIONS);
    found
}

/// The rules of one message, compiled.
#[derive(Default)]
struct MessageRules {
    fields: Vec<(FieldDescriptor, Compiled)>,
    oneofs: Vec<OneofDescriptor>,
    /// The bound of a well-known type, which has no rules inside.
    bound: Option<Bound>,
}

impl MessageRules {
    fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.oneofs.is_empty()
    }
}

/// The rules of one field; texts and messages without rules of their own are here for what holds for every text.
#[derive(Default)]
struct Compiled {
    rules: FieldRules,
    pattern: Option<Regex>,
    named_values: Option<EnumDescriptor>,
    items: Option<Box<Compiled>>,
}

static EMAIL_FORM: LazyLock<Regex> = LazyLock::new(|| Regex::new(EMAIL).expect("a constant"));

static RULES: LazyLock<HashMap<String, MessageRules>> = LazyLock::new(|| {
    let fields = DESCRIPTOR_POOL
        .get_extension_by_name("buf.validate.field")
        .expect("in the contract");
    let oneofs = DESCRIPTOR_POOL
        .get_extension_by_name("buf.validate.oneof")
        .expect("in the contract");
    let field_rules = |field: &FieldDescriptor| -> Option<Compiled> {
        let options = field.options();
        let rules = options.get_extension(&fields);
        let own = options
            .has_extension(&fields)
            .then(|| rules.as_message()?.transcode_to().ok())
            .flatten();
        (own.is_some() || matches!(field.kind(), Kind::Message(_) | Kind::String))
            .then(|| Compiled::of(own.unwrap_or_default(), &field.kind()))
    };
    let is_required = |oneof: &OneofDescriptor| {
        let options = oneof.options();
        let rules: Option<OneofRules> = options
            .get_extension(&oneofs)
            .as_message()
            .and_then(|rules| rules.transcode_to().ok());
        options.has_extension(&oneofs) && rules.is_some_and(|rules| rules.required())
    };
    DESCRIPTOR_POOL
        .all_messages()
        .map(|message: MessageDescriptor| {
            let rules = MessageRules {
                fields: message
                    .fields()
                    .filter_map(|field| Some((field.clone(), field_rules(&field)?)))
                    .collect(),
                oneofs: message
                    .oneofs()
                    .filter(|oneof| !oneof.is_synthetic() && is_required(oneof))
                    .collect(),
                bound: Bound::of(message.full_name()),
            };
            (message.full_name().to_owned(), rules)
        })
        .collect()
});

impl Compiled {
    fn of(rules: FieldRules, kind: &Kind) -> Self {
        let (mut pattern, mut named_values, mut items) = (None, None, None);
        match &rules.r#type {
            Some(Type::String(text)) => {
                pattern = text
                    .pattern
                    .as_deref()
                    .map(|form| Regex::new(form).expect("checked by the contract's tests"));
            }
            Some(Type::Enum(EnumRules {
                defined_only: Some(true),
            })) => named_values = kind.as_enum().cloned(),
            Some(Type::Repeated(list)) => {
                items = list
                    .items
                    .clone()
                    .map(|rules| Box::new(Self::of(*rules, kind)))
            }
            _ => {}
        }
        Self {
            rules,
            pattern,
            named_values,
            items,
        }
    }
}

impl Compiled {
    /// Whether only named values are allowed and this is none.
    fn lacks_value(&self, number: i32) -> bool {
        self.named_values
            .as_ref()
            .is_some_and(|values| values.get_value(number).is_none())
    }
}

/// Where a value stands; put into words only where something is wrong with it.
#[derive(Clone, Copy)]
enum Place<'p> {
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

fn check_message(message: &DynamicMessage, path: Place<'_>, found: &mut Vec<Violation>) {
    let Some(rules) = RULES.get(message.descriptor().full_name()) else {
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
        let skip_unset =
            field.supports_presence() || compiled.rules.ignore() == Ignore::IfZeroValue;
        if compiled.rules.ignore() == Ignore::Always || (!is_set && skip_unset) {
            continue;
        }
        check_value(&message.get_field(field), compiled, place, found);
    }
}

fn check_value(value: &Value, compiled: &Compiled, place: Place<'_>, found: &mut Vec<Violation>) {
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
        (Value::F64(number), Some(Type::Double(rules))) => check_double(*number, rules, &mut say),
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
            }
            for (index, item) in items.iter().enumerate() {
                let place = Place::Item(&place, index);
                match (item, &compiled.items) {
                    (Value::Message(message), _) => check_message(message, place, found),
                    (item, Some(rules)) => check_value(item, rules, place, found),
                    _ => {}
                }
            }
        }
        (Value::Message(message), _) => check_message(message, place, found),
        _ => {}
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
        Some(WellKnown::Email(true)) if !EMAIL_FORM.is_match(text) => {
            say("must be an e-mail address".to_owned())
        }
        Some(WellKnown::Uuid(true)) if !is_uuid(text) => say("must be a UUID".to_owned()),
        _ => {}
    }
}

/// The hyphenated form only: other spellings of one id would be other keys elsewhere.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// Least and greatest allowed value.
type Bounds = (Option<i64>, Option<i64>);

fn bounds_32(rules: &Int32Rules) -> Bounds {
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

fn bounds_64(rules: &Int64Rules) -> Bounds {
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

#[cfg(test)]
mod tests;

//! `buf.validate` rules as JSON Schema keywords, as far as JSON Schema has them.

use prost_reflect::{DynamicMessage, FieldDescriptor, Value as Reflected};
use serde_json::{Map, Value, json};

/// Rule of a scalar, and the keyword for it.
const KEYWORDS: [(&str, &str); 9] = [
    ("min_len", "minLength"),
    ("max_len", "maxLength"),
    ("pattern", "pattern"),
    ("gte", "minimum"),
    ("lte", "maximum"),
    ("gt", "exclusiveMinimum"),
    ("lt", "exclusiveMaximum"),
    ("min_items", "minItems"),
    ("max_items", "maxItems"),
];
/// Values of `buf.validate.Ignore`.
const IGNORE_IF_ZERO_VALUE: i32 = 1;
const IGNORE_ALWAYS: i32 = 3;
const FORMATS: [(&str, &str); 2] = [("uuid", "uuid"), ("email", "email")];

/// What the contract demands of a field.
pub(super) struct Rules {
    pub(super) required: bool,
    pub(super) keywords: Map<String, Value>,
    /// Of each element of a list.
    pub(super) items: Map<String, Value>,
    /// The rules do not count where the field has its zero value.
    pub(super) may_be_empty: bool,
}

impl Rules {
    pub(super) fn of(field: &FieldDescriptor) -> Self {
        let mut rules = Self {
            required: false,
            keywords: Map::new(),
            items: Map::new(),
            may_be_empty: false,
        };
        let extension = field
            .parent_message()
            .parent_pool()
            .get_extension_by_name("buf.validate.field");
        let options = field.options();
        let Some(extension) = extension.filter(|found| options.has_extension(found)) else {
            return rules;
        };
        if let Some(message) = options.get_extension(&extension).as_message() {
            rules.required = flag(message, "required");
            let ignore = message.get_field_by_name("ignore");
            let ignore = ignore.and_then(|ignore| ignore.as_enum_number());
            if ignore == Some(IGNORE_ALWAYS) {
                return rules;
            }
            rules.may_be_empty = ignore == Some(IGNORE_IF_ZERO_VALUE);
            rules.keywords = keywords(message);
            if let Some(items) = kind(message).and_then(|kind| {
                kind.get_field_by_name("items")
                    .map(|items| items.into_owned())
            }) && let Some(items) = items.as_message()
            {
                rules.items = keywords(items);
            }
        }
        // What must not be empty must be there: absence is emptiness.
        rules.required |= !rules.may_be_empty
            && ["minLength", "minItems"]
                .iter()
                .any(|name| rules.keywords.get(*name).and_then(Value::as_u64) > Some(0));
        rules
    }
}

/// The rules of the kind at hand: `string`, `int32`, `repeated`, ...
fn kind(rules: &DynamicMessage) -> Option<DynamicMessage> {
    rules
        .fields()
        .find_map(|(_, value)| value.as_message().cloned())
}

fn keywords(rules: &DynamicMessage) -> Map<String, Value> {
    let mut keywords = Map::new();
    let Some(kind) = kind(rules) else {
        return keywords;
    };
    for (rule, keyword) in KEYWORDS {
        if kind.has_field_by_name(rule)
            && let Some(value) = kind.get_field_by_name(rule)
            && let Some(value) = plain(&value)
        {
            keywords.insert(keyword.to_owned(), value);
        }
    }
    if flag(&kind, "unique") {
        keywords.insert("uniqueItems".to_owned(), json!(true));
    }
    for (rule, format) in FORMATS {
        if flag(&kind, rule) {
            keywords.insert("format".to_owned(), json!(format));
        }
    }
    keywords
}

/// Makes a string's rules those of a string that may be empty.
pub(super) fn or_empty(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    let mut rules = Map::new();
    for keyword in ["pattern", "format", "minLength"] {
        rules.extend(schema.remove_entry(keyword));
    }
    if !rules.is_empty() {
        schema.insert("anyOf".to_owned(), json!([rules, {"maxLength": 0}]));
    }
}

fn flag(message: &DynamicMessage, name: &str) -> bool {
    let value = message.get_field_by_name(name);
    value.and_then(|value| value.as_bool()).unwrap_or(false)
}

/// 64-bit integers are strings in JSON, where bounds mean nothing: they are left out.
fn plain(value: &Reflected) -> Option<Value> {
    match value {
        Reflected::I32(value) => Some(json!(value)),
        Reflected::U32(value) => Some(json!(value)),
        Reflected::U64(value) => Some(json!(value)),
        Reflected::F64(value) => Some(json!(value)),
        Reflected::String(value) => Some(json!(value)),
        _ => None,
    }
}

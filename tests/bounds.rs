//! Every field of every request has a bound in the contract: what is too long, too many or too large is refused before a handler sees it.

use std::collections::{BTreeSet, HashSet};

use contracts::{
    DESCRIPTOR_POOL,
    buf::validate::{FieldRules, StringRules, field_rules::Type, string_rules::WellKnown},
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// What the chassis bounds by itself: chassis/src/validate/well_known.rs.
const BOUND_BY_THE_CHASSIS: [&str; 4] = [
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.Struct",
    "google.protobuf.Timestamp",
];

fn rules(field: &FieldDescriptor) -> FieldRules {
    let extension = DESCRIPTOR_POOL
        .get_extension_by_name("buf.validate.field")
        .expect("in the contract");
    let options = field.options();
    let rules = options.get_extension(&extension);
    let rules = rules.as_message().map(|rules| rules.transcode_to());
    rules.and_then(Result::ok).unwrap_or_default()
}

/// Whether a pattern lets only so many letters through: whole, and nothing in it repeats without end.
fn is_bounded_pattern(pattern: &str) -> bool {
    let mut escaped = false;
    let mut in_class = false;
    let mut endless = false;
    for letter in pattern.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '*' | '+' if !in_class => endless = true,
            _ => {}
        }
    }
    pattern.starts_with('^') && pattern.ends_with('$') && !pattern.contains(",}") && !endless
}

fn is_bounded_string(rules: &StringRules) -> bool {
    rules.max_len.is_some()
        || rules.max_bytes.is_some()
        || rules.well_known == Some(WellKnown::Uuid(true))
        || rules.pattern.as_deref().is_some_and(is_bounded_pattern)
}

/// Whether a value of this kind is bounded by these rules. Messages are looked at by themselves.
fn is_bounded(kind: &Kind, rules: Option<&Type>) -> bool {
    match (kind, rules) {
        (Kind::Bool | Kind::Message(_), _) => true,
        (Kind::String, Some(Type::String(rules))) => is_bounded_string(rules),
        (Kind::Enum(_), Some(Type::Enum(rules))) => rules.defined_only(),
        (Kind::Int32, Some(Type::Int32(rules))) => {
            rules.less_than.is_some() && rules.greater_than.is_some()
        }
        (Kind::Int64, Some(Type::Int64(rules))) => {
            rules.less_than.is_some() && rules.greater_than.is_some()
        }
        (Kind::Double, Some(Type::Double(rules))) => {
            rules.less_than.is_some() && rules.greater_than.is_some()
        }
        // A kind that the chassis has no rules for is not bounded either.
        _ => false,
    }
}

fn unbounded(
    message: &MessageDescriptor,
    seen: &mut HashSet<String>,
    found: &mut BTreeSet<String>,
) {
    let is_known = BOUND_BY_THE_CHASSIS.contains(&message.full_name());
    if is_known || !seen.insert(message.full_name().to_owned()) {
        return;
    }
    for field in message.fields() {
        let rules = rules(&field).r#type;
        let is_good = match &rules {
            _ if field.is_map() => false,
            Some(Type::Repeated(list)) if field.is_list() => {
                let items = list.items.as_ref().and_then(|items| items.r#type.as_ref());
                list.max_items.is_some() && is_bounded(&field.kind(), items)
            }
            _ if field.is_list() => false,
            rules => is_bounded(&field.kind(), rules.as_ref()),
        };
        if !is_good {
            found.insert(field.full_name().to_owned());
        }
        if let Kind::Message(inner) = field.kind() {
            unbounded(&inner, seen, found);
        }
    }
}

#[test]
fn every_field_of_every_request_has_a_bound() {
    let (mut seen, mut found) = (HashSet::new(), BTreeSet::new());
    for service in DESCRIPTOR_POOL.services() {
        for method in service.methods() {
            unbounded(&method.input(), &mut seen, &mut found);
        }
    }
    assert!(seen.len() > 50, "the contract has requests");
    assert!(
        found.is_empty(),
        "no bound: {found:#?}: give each a buf.validate rule (max_len, max_items, gte and lte, defined_only, ...)"
    );
}

#[test]
fn a_pattern_without_end_is_no_bound() {
    for bounded in ["^[A-Z]{3}$", "^[a-z+*]{1,5}$", r"^a\+$"] {
        assert!(is_bounded_pattern(bounded), "{bounded}");
    }
    for endless in ["^a+$", "^[a-z]*$", "^a{3,}$", "[a-z]"] {
        assert!(!is_bounded_pattern(endless), "{endless}");
    }
}

#[test]
fn every_page_has_a_size() {
    let requests = DESCRIPTOR_POOL.all_messages().filter(|message| {
        let page = message.get_field_by_name("page_token");
        message.name().ends_with("Request") && page.is_some()
    });
    let mut pages = 0;
    for request in requests {
        let size = request.get_field_by_name("page_size");
        assert!(size.is_some(), "{}", request.full_name());
        pages += 1;
    }
    assert!(pages > 5, "{pages}");
}

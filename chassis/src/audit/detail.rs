//! What an audit record says of a request: the fields that the contract names, bounded, and without what looks like a secret.

use std::fmt::Write as _;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

/// Longest detail, in characters.
const MAX_DETAIL_CHARS: usize = 1_000;
/// Longest value of one field, in characters.
const MAX_VALUE_CHARS: usize = 400;
/// Words of this length that could be Base64 are taken for tokens or keys.
const SECRET_CHARS: usize = 40;
/// Digits of a card number, at least and at most.
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// Stands for what is not to be remembered.
const REMOVED: &str = "[removed]";

/// `name=value` of the fields at these dotted paths, as far as they are set.
pub(super) fn of(message: &DynamicMessage, paths: &[String]) -> String {
    let mut text = String::new();
    for path in paths {
        let Some(value) = value_at(message, path).filter(|value| !value.is_empty()) else {
            continue;
        };
        let name = path.rsplit('.').next().unwrap_or(path);
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a text cannot fail.
        let _ = write!(text, "{gap}{name}={}", bounded(&value, MAX_VALUE_CHARS));
    }
    bounded(&text, MAX_DETAIL_CHARS)
}

/// The value at a dotted path as text; `None` where it is not set or there is no such field.
pub(super) fn value_at(message: &DynamicMessage, path: &str) -> Option<String> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let field = message.descriptor().get_field_by_name(name)?;
    if field.supports_presence() && !message.has_field(&field) {
        return None;
    }
    let value = message.get_field(&field);
    match (rest, value.as_message()) {
        (None, _) => Some(text(&field, &value)),
        (Some(rest), Some(inner)) => value_at(inner, rest),
        (Some(_), None) => None,
    }
}

fn text(field: &FieldDescriptor, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(it) => it.to_string(),
        Value::I32(it) => it.to_string(),
        Value::I64(it) => it.to_string(),
        Value::U32(it) => it.to_string(),
        Value::U64(it) => it.to_string(),
        Value::F32(it) => it.to_string(),
        Value::F64(it) => it.to_string(),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(values) => values
                .get_value(*number)
                .map_or_else(|| number.to_string(), |value| value.name().to_owned()),
            _ => number.to_string(),
        },
        Value::List(values) => {
            let values: Vec<_> = values.iter().map(|value| text(field, value)).collect();
            values.join(",")
        }
        // Times and masks are texts in JSON.
        Value::Message(message) => serde_json::to_string(message)
            .unwrap_or_default()
            .trim_matches('"')
            .to_owned(),
        // Nobody reads these.
        Value::Bytes(_) | Value::Map(_) => String::new(),
    }
}

/// One line of at most `most` characters, without what looks like a secret.
pub(super) fn bounded(text: &str, most: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line: Vec<_> = words.filter(|word| !word.is_empty()).map(masked).collect();
    let line = without_cards(&line.join(" "));
    match line.char_indices().nth(most) {
        Some(_) => {
            let end = line.char_indices().nth(most - 1).map_or(0, |(end, _)| end);
            format!("{}…", &line[..end])
        }
        None => line,
    }
}

fn masked(word: &str) -> &str {
    let is_long = word.len() >= SECRET_CHARS
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-.".contains(&byte));
    let is_token = word.starts_with("eyJ") && word.contains('.');
    if is_long || is_token { REMOVED } else { word }
}

/// Takes out card numbers: digits, maybe in groups, whose checksum (Luhn) is right.
fn without_cards(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        kept.push_str(&rest[..start]);
        rest = &rest[start..];
        let run = rest
            .find(|c: char| !(c.is_ascii_digit() || matches!(c, ' ' | '-')))
            .unwrap_or(rest.len());
        let run = rest[..run].trim_end_matches([' ', '-']).len();
        let (group, behind) = rest.split_at(run);
        let digits: Vec<u32> = group.chars().filter_map(|c| c.to_digit(10)).collect();
        if CARD_DIGITS.contains(&digits.len()) && is_luhn(&digits) {
            kept.push_str(REMOVED);
        } else {
            kept.push_str(group);
        }
        rest = behind;
    }
    kept.push_str(rest);
    kept
}

fn is_luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => *digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use contracts::caravan::{
        catalog::v1 as catalog, common::v1::Money, inventory::v1::SetStockRequest,
    };
    use prost_reflect::ReflectMessage;

    use super::*;

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn the_named_fields_are_told_as_far_as_they_are_set() {
        let request = catalog::UpdateProductRequest {
            product: Some(catalog::Product {
                product_id: "p-1".into(),
                price: Some(Money {
                    currency_code: "EUR".into(),
                    minor_units: 690,
                }),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["price".into()],
            }),
        };
        let message = request.transcode_to_dynamic();
        assert_eq!(
            value_at(&message, "product.product_id").as_deref(),
            Some("p-1")
        );
        assert_eq!(value_at(&message, "product.no_such_field"), None);
        assert_eq!(
            of(
                &message,
                &paths(&["update_mask", "product.name", "product.price"])
            ),
            r#"update_mask=price price={"currencyCode":"EUR","minorUnits":"690"}"#
        );
        // None at all is a number worth telling.
        let message = SetStockRequest::default().transcode_to_dynamic();
        assert_eq!(of(&message, &paths(&["sku", "on_hand"])), "on_hand=0");
    }

    #[test]
    fn what_looks_like_a_secret_is_left_out() {
        for (text, kept) in [
            ("card 4111 1111 1111 1111, please", "card [removed], please"),
            ("4111111111111111", "[removed]"),
            ("order 4111111111111112", "order 4111111111111112"),
            ("call +43 1 234567", "call +43 1 234567"),
            ("with eyJhbGciOi.J9 here", "with [removed] here"),
            (&format!("key {}", "aB3_".repeat(10)), "key [removed]"),
            (
                "saga 01890a5d-ac96-774b-bcce-b302099a8057",
                "saga 01890a5d-ac96-774b-bcce-b302099a8057",
            ),
            ("two\nlines\u{7}", "two lines"),
        ] {
            assert_eq!(bounded(text, 100), kept);
        }
    }

    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(bounded("äöüß", 4), "äöüß");
        assert_eq!(bounded("äöüß!", 4), "äöü…");
    }
}

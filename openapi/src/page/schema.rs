//! Schemas as tables, names and examples.

use serde_json::{Map, Value, json};

use super::{Html, Page, list, markdown, object, old, text};

/// Deepest nesting that is written out; schemas may hold themselves.
const MAX_DEPTH: usize = 5;
const REFERENCE: &str = "#/components/schemas/";
/// Keywords that are shown as they are.
const RULES: [&str; 10] = [
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "format",
];

impl<'d> Page<'d> {
    /// The schema that a reference means.
    fn resolve<'s>(&self, schema: &'s Value) -> &'s Value
    where
        'd: 's,
    {
        match text(schema, "$ref").strip_prefix(REFERENCE) {
            Some(name) => &self.document["components"]["schemas"][name],
            None => schema,
        }
    }

    pub(super) fn type_name(&self, schema: &Value) -> String {
        if let Some(name) = text(schema, "$ref").strip_prefix(REFERENCE) {
            return name.rsplit('.').next().unwrap_or(name).to_owned();
        }
        match &schema["type"] {
            Value::String(kind) if kind == "array" => {
                format!("{}[]", self.type_name(&schema["items"]))
            }
            Value::String(kind)
                if kind == "object" && schema["additionalProperties"].is_object() =>
            {
                format!("map of {}", self.type_name(&schema["additionalProperties"]))
            }
            Value::String(kind) => match text(schema, "format") {
                "" => kind.clone(),
                format => format!("{kind} ({format})"),
            },
            Value::Array(kinds) => {
                let kinds = kinds.iter().filter_map(Value::as_str);
                kinds.collect::<Vec<_>>().join(" or ")
            }
            _ => "any".to_owned(),
        }
    }

    /// The members of an object, or of what a list or map holds.
    pub(super) fn members(&self, html: &mut Html, schema: &Value, depth: usize) {
        let mut schema = self.resolve(schema);
        while let Some(inner) = [&schema["items"], &schema["additionalProperties"]]
            .into_iter()
            .find(|inner| inner.is_object())
        {
            schema = self.resolve(inner);
        }
        let properties = object(&schema["properties"]);
        if properties.is_empty() || depth >= MAX_DEPTH {
            return;
        }
        let required = list(&schema["required"]);
        html.raw("<table>");
        for (name, property) in properties {
            html.raw("<tr><td>").tag("span", old(property), name);
            if required.iter().any(|found| found == name) {
                html.tag("span", "class=\"need\"", " *");
            }
            html.raw("</td><td class=\"type\">")
                .text(&self.type_name(property))
                .raw("</td><td>");
            self.notes(html, property, property);
            let inner = self.resolve(property);
            let nested = [inner, &inner["items"], &inner["additionalProperties"]];
            let is_object = |of: &&Value| !object(&self.resolve(of)["properties"]).is_empty();
            if nested.iter().any(is_object) && depth + 1 < MAX_DEPTH {
                html.raw("<details><summary>members</summary>");
                self.members(html, property, depth + 1);
                html.raw("</details>");
            }
            html.raw("</td></tr>");
        }
        html.raw("</table>");
    }

    /// What is said of a value: its comment, names of its enum, rules.
    pub(super) fn notes(&self, html: &mut Html, of: &Value, schema: &Value) {
        markdown(html, text(of, "description"));
        let schema = self.resolve(schema);
        let values = list(&schema["enum"]);
        if !values.is_empty() {
            html.raw("<p>");
            for value in values.iter().filter_map(Value::as_str) {
                html.tag("code", "", value).raw(" ");
            }
            html.raw("</p>");
        }
        let rules = RULES.iter().filter(|rule| !schema[**rule].is_null());
        let rules: Vec<_> = rules
            .map(|rule| match &schema[*rule] {
                Value::String(value) => format!("{rule} {value}"),
                value => format!("{rule} {value}"),
            })
            .collect();
        if !rules.is_empty() {
            html.tag("p", "class=\"type\"", &rules.join(", "));
        }
    }

    /// The example of a schema, or one made of its parts.
    pub(super) fn example(&self, schema: &Value, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        if let Some(example) = list(&schema["examples"]).first() {
            return Some(example.clone());
        }
        let found = self.resolve(schema);
        if let Some(example) = list(&found["examples"]).first() {
            return Some(example.clone());
        }
        if let Some(last) = list(&found["enum"]).last() {
            return Some(last.clone());
        }
        let kind = match &found["type"] {
            Value::Array(kinds) => kinds.first().and_then(Value::as_str),
            kind => kind.as_str(),
        };
        Some(match kind? {
            "object" => {
                let members = object(&found["properties"]).iter();
                let members = members.filter(|(_, member)| member["deprecated"] != true);
                let members: Map<_, _> = members
                    .filter_map(|(name, member)| {
                        Some((name.clone(), self.example(member, depth + 1)?))
                    })
                    .collect();
                members.into()
            }
            "array" => json!([self.example(&found["items"], depth + 1)?]),
            "integer" => found["minimum"].as_i64().unwrap_or(1).max(1).into(),
            "number" => json!(1.5),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => match text(found, "format") {
                "uuid" => json!("01938c5e-7d2a-7c31-9b61-0a6b5a1f0c11"),
                "date-time" => json!("2026-11-20T12:30:00Z"),
                "email" => json!("ada@example.com"),
                "int64" | "uint64" => json!("1"),
                _ => json!("text"),
            },
        })
    }
}

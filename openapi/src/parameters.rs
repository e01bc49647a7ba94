//! What a route takes from path, query and headers.

use std::collections::BTreeSet;

use contracts::{caravan::options::v1::Idempotency, policy::MethodPolicy};
use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};
use transcode::{Binding, Body};

use super::{
    operation::field_at,
    schemas::{Schemas, well_known},
};

/// Deepest nesting of query parameters that is written out.
const MAX_QUERY_DEPTH: usize = 4;

/// `names` are those of the path's variables.
pub(super) fn parameters(
    rest: &transcode::Api,
    binding: &Binding,
    (method, names): (&MethodDescriptor, &[String]),
    policy: &MethodPolicy,
    schemas: &mut Schemas<'_>,
) -> Vec<Value> {
    let input = method.input();
    let mut bound: BTreeSet<_> = binding.path_fields().map(str::to_owned).collect();
    let mut parameters = Vec::new();
    for (field, name) in binding.path_fields().zip(names) {
        let mut parameter = json!({"name": name, "in": "path", "required": true});
        parameter["schema"] = match field_at(&input, field) {
            Some(field) => schemas.field(&field),
            None => json!({"type": "string"}),
        };
        lift(&mut parameter);
        if let Some(pattern) = pattern(binding.template(), field) {
            parameter["schema"]["pattern"] = pattern.into();
        } else if parameter["schema"]["type"] == "string" {
            // An empty segment is no value.
            let schema = &mut parameter["schema"];
            let least = schema["minLength"].as_u64().unwrap_or(0).max(1);
            schema["minLength"] = least.into();
        }
        parameters.push(parameter);
    }
    for (header, field) in binding.headers() {
        let mut parameter = json!({"name": header, "in": "header", "required": false});
        parameter["schema"] = field_at(&input, field)
            .map_or_else(|| json!({"type": "string"}), |field| schemas.field(&field));
        lift(&mut parameter);
        parameters.push(parameter);
        bound.insert(field.to_owned());
    }
    let taken = match binding.body() {
        Body::All => None,
        _ => Some(binding.body_field(rest.schema())),
    };
    if let Some(body_field) = taken {
        let mut query = Query {
            bound: &bound,
            body_field,
            schemas,
            parameters: &mut parameters,
        };
        query.add(&input, "", "", 0);
    }
    of_headers(policy, &mut parameters);
    parameters
}

/// Headers that mean the same to every rpc that takes them.
fn of_headers(policy: &MethodPolicy, parameters: &mut Vec<Value>) {
    match policy.idempotency {
        Idempotency::Unspecified => {}
        idempotency => parameters.push(json!({
            "name": "Idempotency-Key", "in": "header",
            "required": idempotency == Idempotency::Required,
            "description": "The same key with the same request answers the same and happens once.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            "example": "7d0f2b1e-5c1b-4e0c-9a51-0f1c9b7c2a10",
        })),
    }
    if policy.rest.prefer_wait {
        parameters.push(json!({
            "name": "Prefer", "in": "header", "required": false,
            "description": "`wait=SECONDS` waits that long for the outcome before it answers.",
            "schema": {"type": "string", "pattern": "^wait=[0-9]{1,3}$"},
            "example": "wait=5",
        }));
    }
    if policy.cache.is_some() {
        parameters.push(json!({
            "name": "If-None-Match", "in": "header", "required": false,
            "description": "An ETag that the caller has: 304 where the answer is still that one.",
            "schema": {"type": "string", "pattern": "^(\\*|(W/)?\"[!#-~]*\")$"},
        }));
    }
}

/// A parameter says itself what its field is for, and whether it will go.
fn lift(parameter: &mut Value) {
    for keyword in ["description", "deprecated"] {
        if let Some(schema) = parameter["schema"].as_object_mut()
            && schema.len() > 1
            && let Some(value) = schema.remove(keyword)
        {
            parameter[keyword] = value;
        }
    }
}

/// What a variable of several segments matches, as a regular expression.
fn pattern(template: &str, field: &str) -> Option<String> {
    let (_, tail) = template.split_once(&format!("{{{field}="))?;
    let (segments, _) = tail.split_once('}')?;
    let parts = segments.split('/').map(|segment| match segment {
        "*" => "[^/]+".to_owned(),
        "**" => ".*".to_owned(),
        literal => literal.replace('.', "\\."),
    });
    Some(format!("^{}$", parts.collect::<Vec<_>>().join("/")))
}

/// Gathers the fields that neither path nor body takes.
struct Query<'q, 'c> {
    bound: &'q BTreeSet<String>,
    body_field: Option<&'q str>,
    schemas: &'q mut Schemas<'c>,
    parameters: &'q mut Vec<Value>,
}

impl Query<'_, '_> {
    fn add(&mut self, message: &MessageDescriptor, proto: &str, json: &str, depth: usize) {
        for field in message.fields() {
            let proto = format!("{proto}{}", field.name());
            let json = format!("{json}{}", field.json_name());
            let in_body = depth == 0 && self.body_field == Some(field.name());
            if in_body || self.bound.contains(&proto) || field.is_map() {
                continue;
            }
            match field.kind() {
                Kind::Message(inner) if !is_text(&inner) => {
                    if !field.is_list() && depth < MAX_QUERY_DEPTH && inner != *message {
                        self.add(&inner, &format!("{proto}."), &format!("{json}."), depth + 1);
                    }
                }
                _ => {
                    let schema = self.schemas.field(&field);
                    let mut parameter = json!({"name": json, "in": "query", "schema": schema});
                    if super::rules::Rules::of(&field).required && depth == 0 {
                        parameter["required"] = true.into();
                    }
                    lift(&mut parameter);
                    self.parameters.push(parameter);
                }
            }
        }
    }
}

/// Messages that a parameter can hold.
fn is_text(message: &MessageDescriptor) -> bool {
    let name = message.full_name();
    matches!(
        name,
        "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask"
    ) || (name.ends_with("Value")
        && well_known(name).is_some_and(|schema| schema["type"].is_array()))
}

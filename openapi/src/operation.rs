//! One route as an OpenAPI operation.

use std::collections::BTreeSet;

use contracts::{
    caravan::options::v1::{Access, Idempotency},
    policy,
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};
use transcode::{Binding, Body};

use super::schemas::{PROBLEM, Schemas, well_known};

/// Deepest nesting of query parameters that is written out.
const MAX_QUERY_DEPTH: usize = 4;
const JSON: &str = "application/json";

/// The template as OpenAPI writes it, names as in JSON and without what they match; and the names.
pub(super) fn path(template: &str, input: &MessageDescriptor) -> (String, Vec<String>) {
    let (mut path, mut names) = (String::new(), Vec::new());
    let mut rest = template;
    while let Some((literal, tail)) = rest.split_once('{') {
        let (variable, tail) = tail.split_once('}').unwrap_or((tail, ""));
        let name = json_path(input, variable.split('=').next().unwrap_or_default());
        path.push_str(&format!("{literal}{{{name}}}"));
        names.push(name);
        rest = tail;
    }
    path.push_str(rest);
    (path, names)
}

/// `names` are those of the path's variables; `count` tells the routes of one rpc apart and begins with 1.
pub(super) fn operation(
    rest: &transcode::Api,
    binding: &Binding,
    names: &[String],
    schemas: &mut Schemas<'_>,
    count: usize,
) -> Value {
    let method = &rest.methods()[binding.method_index()].descriptor;
    let service = method.parent_service();
    let policy = policy::of_method(method);
    let comment = schemas
        .comments
        .of(service.parent_file().name(), method.path());
    let (summary, description) = comment.split_once('\n').unwrap_or((comment, ""));
    let id = match count {
        1 => format!("{}_{}", service.name(), method.name()),
        count => format!("{}_{}_{count}", service.name(), method.name()),
    };
    let mut operation = json!({
        "operationId": id,
        "tags": [service.name()],
        "summary": summary,
        "description": description,
        "parameters": parameters(rest, binding, (method, names), &policy, schemas),
        "responses": responses(rest, binding, method, &policy, schemas),
        "security": security(policy.access.as_ref()),
    });
    if let Some(body) = request_body(rest, binding, method, schemas) {
        operation["requestBody"] = body;
    }
    if method
        .method_descriptor_proto()
        .options
        .as_ref()
        .is_some_and(|o| o.deprecated())
    {
        operation["deprecated"] = true.into();
    }
    operation
}

/// None for the public, else a token; roles are named for the reader.
fn security(access: Option<&Access>) -> Value {
    match access {
        Some(access) if access.public => json!([]),
        Some(access) => json!([{"bearer": access.roles}]),
        None => json!([{"bearer": []}]),
    }
}

fn parameters(
    rest: &transcode::Api,
    binding: &Binding,
    (method, names): (&MethodDescriptor, &[String]),
    policy: &policy::MethodPolicy,
    schemas: &mut Schemas<'_>,
) -> Vec<Value> {
    let input = method.input();
    let bound: BTreeSet<_> = binding.path_fields().map(str::to_owned).collect();
    let mut parameters = Vec::new();
    for (field, name) in binding.path_fields().zip(names) {
        let schema = field_at(&input, field)
            .map(|field| schemas.field(&field))
            .unwrap_or_else(|| json!({"type": "string"}));
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": schema,
        }));
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
    match policy.idempotency {
        Idempotency::Unspecified => {}
        idempotency => parameters.push(json!({
            "name": "Idempotency-Key", "in": "header",
            "required": idempotency == Idempotency::Required,
            "description": "The same key with the same request answers the same and happens once.",
            "schema": {"type": "string", "minLength": 1},
        })),
    }
    parameters
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
                    self.parameters
                        .push(json!({"name": json, "in": "query", "schema": schema}));
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

fn request_body(
    rest: &transcode::Api,
    binding: &Binding,
    method: &MethodDescriptor,
    schemas: &mut Schemas<'_>,
) -> Option<Value> {
    if binding.takes_raw_body() {
        return Some(json!({"content": {"*/*": {"schema": {}}}}));
    }
    let input = method.input();
    let schema = match binding.body() {
        Body::None => return None,
        Body::All => {
            let bound: BTreeSet<_> = binding.path_fields().map(str::to_owned).collect();
            if bound.is_empty() {
                schemas.message(&input)
            } else {
                schemas.object(&input, &bound)
            }
        }
        Body::Field(_) => {
            let name = binding.body_field(rest.schema())?;
            schemas.field(&input.get_field_by_name(name)?)
        }
    };
    Some(json!({"content": {JSON: {"schema": schema}}}))
}

fn responses(
    rest: &transcode::Api,
    binding: &Binding,
    method: &MethodDescriptor,
    policy: &policy::MethodPolicy,
    schemas: &mut Schemas<'_>,
) -> Value {
    let output = method.output();
    let field = binding
        .response_field(rest.schema())
        .and_then(|name| output.get_field_by_name(name));
    let schema = match field {
        Some(field) => schemas.field(&field),
        None => schemas.message(&output),
    };
    let status = match policy.rest.success_status {
        0 => 200,
        status => status,
    };
    let mut content = Map::new();
    if binding.answers_raw_body() {
        content.insert("*/*".to_owned(), json!({"schema": {}}));
    } else if method.is_server_streaming() {
        let text = json!({"schema": {"type": "string"}});
        content.insert("text/event-stream".to_owned(), text.clone());
        content.insert("application/x-ndjson".to_owned(), text);
        let array = json!({"schema": {"type": "array", "items": schema}});
        content.insert(JSON.to_owned(), array);
    } else {
        content.insert(JSON.to_owned(), json!({"schema": schema}));
    }
    let mut success = json!({"description": "Done."});
    if status != 204 {
        success["content"] = content.into();
    }
    if !policy.rest.location.is_empty() {
        success["headers"] = json!({
            "Location": {"description": "What was made.", "schema": {"type": "string", "format": "uri-reference"}},
        });
    }
    let problem = json!({"schema": {"$ref": format!("#/components/schemas/{PROBLEM}")}});
    let mut responses = Map::new();
    responses.insert(status.to_string(), success);
    responses.insert(
        "default".to_owned(),
        json!({"description": "What went wrong.", "content": {"application/problem+json": problem}}),
    );
    responses.into()
}

fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    let mut message = message.clone();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let field = message
            .get_field_by_json_name(name)
            .or_else(|| message.get_field_by_name(name))?;
        if names.peek().is_none() {
            return Some(field);
        }
        message = field.kind().as_message()?.clone();
    }
    None
}

/// A dotted path in JSON names.
fn json_path(message: &MessageDescriptor, path: &str) -> String {
    let mut names = Vec::new();
    let mut prefix = String::new();
    for name in path.split('.') {
        if !prefix.is_empty() {
            prefix.push('.');
        }
        prefix.push_str(name);
        let field = field_at(message, &prefix);
        names.push(field.map_or_else(|| name.to_owned(), |field| field.json_name().to_owned()));
    }
    names.join(".")
}

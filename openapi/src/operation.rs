//! One route as an OpenAPI operation.

use std::collections::BTreeSet;

use contracts::{caravan::options::v1::Access, policy};
use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};
use transcode::{Binding, Body};

use super::{parameters::parameters, responses::responses, rules::Rules, schemas::Schemas};

pub(super) const JSON: &str = "application/json";

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
    let mut operation = json!({
        "operationId": id(method, count),
        "tags": [service.name()],
        "summary": summary,
        "description": describe(description, method, policy.access.as_ref()),
        "parameters": parameters(rest, binding, (method, names), &policy, schemas),
        "responses": responses(rest, binding, method, &policy, schemas),
        "security": security(policy.access.as_ref()),
    });
    if policy.rest.oauth {
        operation["requestBody"] = form(&mut operation);
    } else if let Some(body) = request_body(rest, binding, method, schemas) {
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

/// Unique in the document: `count` tells the routes of one rpc apart.
pub(super) fn id(method: &MethodDescriptor, count: usize) -> String {
    let service = method.parent_service();
    match count {
        1 => format!("{}_{}", service.name(), method.name()),
        count => format!("{}_{}_{count}", service.name(), method.name()),
    }
}

/// The contract's comment, and what else a caller must know.
fn describe(comment: &str, method: &MethodDescriptor, access: Option<&Access>) -> String {
    let mut parts = vec![comment.trim().to_owned()];
    if let Some(access) = access.filter(|access| !access.public) {
        let roles = access.roles.iter().map(|role| format!("`{role}`"));
        let roles = roles.collect::<Vec<_>>().join(", ");
        let services = if access.services {
            " Services of the mesh may call it."
        } else {
            ""
        };
        let scopes = access.scopes.iter().map(|scope| format!("`{scope}`"));
        let scopes = match scopes.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => none,
            scopes => format!(" Clients with the scope {scopes} may call it."),
        };
        let others = format!("{services}{scopes}");
        parts.push(match (access.signed_in, roles.is_empty()) {
            (true, _) => format!("For users who are signed in.{others}"),
            (false, false) => format!("For users with one of the roles {roles}.{others}"),
            (false, true) => others.trim().to_owned(),
        });
    }
    if method.is_client_streaming() {
        let how = match method.is_server_streaming() {
            true => "A stream of messages both ways: open it as a WebSocket.",
            false => "A stream of messages: send it as the body, or open it as a WebSocket.",
        };
        parts.push(how.to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

/// None for the public, else a token; roles are named for the reader.
fn security(access: Option<&Access>) -> Value {
    match access {
        Some(access) if access.public => json!([]),
        Some(access) => json!([{"bearer": access.roles}]),
        None => json!([{"bearer": []}]),
    }
}

/// What would stand in a query stands in a form.
fn form(operation: &mut Value) -> Value {
    let (mut properties, mut others) = (serde_json::Map::new(), Vec::new());
    let parameters = operation["parameters"].take();
    for mut parameter in parameters.as_array().into_iter().flatten().cloned() {
        match (parameter["in"].as_str(), parameter["name"].as_str()) {
            (Some("query"), Some(name)) => {
                let name = name.to_owned();
                let mut schema = parameter["schema"].take();
                if let Some(description) = parameter.get("description") {
                    schema["description"] = description.clone();
                }
                properties.insert(name, schema);
            }
            _ => others.push(parameter),
        }
    }
    operation["parameters"] = others.into();
    let schema = json!({"type": "object", "properties": properties});
    json!({"required": true, "content": {"application/x-www-form-urlencoded": {"schema": schema}}})
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
    if method.is_client_streaming() && method.is_server_streaming() {
        return None; // Messages come as frames of the WebSocket.
    }
    let input = method.input();
    let (required, schema) = match binding.body() {
        Body::None => return None,
        Body::All => {
            let bound: BTreeSet<_> = binding.path_fields().map(str::to_owned).collect();
            let mut rest = input.fields().filter(|field| !bound.contains(field.name()));
            let required = rest.any(|field| Rules::of(&field).required);
            let schema = if bound.is_empty() {
                schemas.message(&input)
            } else {
                schemas.object(&input, &bound)
            };
            (required, schema)
        }
        Body::Field(_) => {
            let name = binding.body_field(rest.schema())?;
            let field = input.get_field_by_name(name)?;
            (Rules::of(&field).required, schemas.field(&field))
        }
    };
    if method.is_client_streaming() {
        let lines = json!({"schema": {"description": "A line a message."}, "x-itemSchema": schema});
        return Some(json!({"content": {"application/x-ndjson": lines}}));
    }
    Some(json!({"required": required, "content": {JSON: {"schema": schema}}}))
}

pub(super) fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
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
pub(super) fn json_path(message: &MessageDescriptor, path: &str) -> String {
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

//! What a route answers with.

use contracts::policy::MethodPolicy;
use prost_reflect::{FieldDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};
use transcode::Binding;

use super::{
    operation::JSON,
    schemas::{PROBLEM, Schemas},
};

/// Statuses of problems that many rpcs can answer with: components, by the status.
pub(super) const PROBLEMS: [(u16, &str); 10] = [
    (
        400,
        "The request does not follow the contract; `violations` names the fields.",
    ),
    (401, "The token is missing, expired or not ours."),
    (403, "The caller may not do this."),
    (404, "There is no such thing, or it is not the caller's."),
    (
        409,
        "It exists already, or something else changed it at the same time.",
    ),
    (412, "What is asked for is not possible in this state."),
    (413, "The body is too large."),
    (
        429,
        "Too many requests; `Retry-After` says when to try again.",
    ),
    (503, "Not available for now; try again."),
    (504, "It took too long; whether it happened is not known."),
];

/// How endpoints of OAuth 2.0 fail (RFC 6749, section 5.2).
const OAUTH_ERRORS: [(&str, &str); 3] = [
    ("400", "The request is not valid."),
    ("401", "The client is not known, or its secret is wrong."),
    ("default", "What went wrong."),
];

/// Every status and body of a route.
pub(super) fn responses(
    rest: &transcode::Api,
    binding: &Binding,
    method: &MethodDescriptor,
    policy: &MethodPolicy,
    schemas: &mut Schemas<'_>,
) -> Value {
    let status = match policy.rest.success_status {
        0 => 200,
        status => status,
    };
    let mut responses = Map::new();
    if method.is_client_streaming() {
        let description = "The WebSocket is open: each text frame is a message as JSON, both ways; \
            an empty frame ends the client's side.";
        responses.insert("101".to_owned(), json!({"description": description}));
    }
    // A stream that is answered by one message may come as an ordinary body.
    if !(method.is_client_streaming() && method.is_server_streaming()) {
        let success = success(rest, binding, method, policy, schemas);
        responses.insert(status.to_string(), success);
    }
    if policy.cache.is_some() {
        let description = "What the caller has is still right.";
        responses.insert("304".to_owned(), json!({"description": description}));
    }
    if policy.rest.oauth {
        for (status, description) in OAUTH_ERRORS {
            responses.insert(status.to_owned(), oauth_error(description));
        }
        return responses.into();
    }
    for (status, _) in PROBLEMS {
        let possible = match status {
            400 => method.input().fields().len() > 0,
            401 => policy.access.as_ref().is_none_or(|access| !access.public),
            403 => policy
                .access
                .as_ref()
                .is_none_or(|access| !access.public && !access.signed_in),
            404 => binding.path_fields().next().is_some(),
            409 | 412 => binding.verb() != "GET",
            413 => !matches!(binding.body(), transcode::Body::None),
            _ => true,
        };
        if possible {
            let reference = format!("#/components/responses/Problem{status}");
            responses.insert(status.to_string(), json!({"$ref": reference}));
        }
    }
    responses.insert("default".to_owned(), problem("What went wrong."));
    responses.into()
}

fn success(
    rest: &transcode::Api,
    binding: &Binding,
    method: &MethodDescriptor,
    policy: &MethodPolicy,
    schemas: &mut Schemas<'_>,
) -> Value {
    let output = method.output();
    let field = binding
        .response_field(rest.schema())
        .and_then(|name| output.get_field_by_name(name));
    let schema = match &field {
        Some(field) => schemas.field(field),
        None => schemas.message(&output),
    };
    let mut success = json!({"description": "Done."});
    if policy.rest.success_status != 204 {
        success["content"] = content(binding, method, schema);
    }
    let mut headers = Map::new();
    if !policy.rest.location.is_empty() {
        let schema = json!({"type": "string", "format": "uri-reference"});
        let location = json!({"description": "Where the new thing is.", "schema": schema});
        headers.insert("Location".to_owned(), location);
    }
    if policy.cache.is_some() {
        let etag =
            json!({"description": "Tells this answer from others.", "schema": {"type": "string"}});
        headers.insert("ETag".to_owned(), etag);
    }
    if !headers.is_empty() {
        success["headers"] = headers.into();
    }
    if field.is_none()
        && let Some(links) = next_page(method)
    {
        success["links"] = links;
    }
    success
}

fn content(binding: &Binding, method: &MethodDescriptor, schema: Value) -> Value {
    if binding.answers_raw_body() {
        return json!({"*/*": {"schema": {}}});
    }
    if !method.is_server_streaming() {
        return json!({JSON: {"schema": schema}});
    }
    let text = |description: &str| {
        // What a line or an event holds, for tools that know this keyword of OpenAPI 3.2. No type for the whole: some tools
        // see a text, others an object for each event.
        json!({"schema": {"description": description}, "x-itemSchema": schema})
    };
    json!({
        "text/event-stream": text("An event a message; its data is the message as JSON, its id counts messages. A failure is an event `error`."),
        "application/x-ndjson": text("A line a message. A failure is a last line `{\"error\": {...}}`."),
        JSON: {"schema": {"type": "array", "items": schema}},
    })
}

/// How a client gets from one page to the next, where the rpc answers in pages.
fn next_page(method: &MethodDescriptor) -> Option<Value> {
    let has = |field: Option<FieldDescriptor>| field.filter(|field| !field.is_list());
    let token = has(method.input().get_field_by_name("page_token"))?;
    let next = has(method.output().get_field_by_name("next_page_token"))?;
    let id = super::operation::id(method, 1);
    let pointer = format!("$response.body#/{}", next.json_name());
    Some(json!({"nextPage": {
        "operationId": id,
        "parameters": {token.json_name(): pointer},
        "description": "The next page; there is none where the token is empty.",
    }}))
}

fn oauth_error(description: &str) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    });
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

/// A response that is a problem.
pub(super) fn problem(description: &str) -> Value {
    let schema = json!({"schema": {"$ref": format!("#/components/schemas/{PROBLEM}")}});
    json!({"description": description, "content": {"application/problem+json": schema}})
}

/// The responses that operations refer to.
pub(super) fn components() -> Map<String, Value> {
    let responses = PROBLEMS.into_iter().map(|(status, description)| {
        let mut response = problem(description);
        if matches!(status, 429 | 503) {
            let schema = json!({"type": "integer", "minimum": 0});
            let header = json!({"description": "Seconds.", "schema": schema});
            response["headers"] = json!({"Retry-After": header});
        }
        (format!("Problem{status}"), response)
    });
    responses.collect()
}

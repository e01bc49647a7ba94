//! OpenAPI 3.1 of a contract's REST side, made from the descriptors: their routes, comments, options and rules.
//! [`page`] makes a reference page for people of it.

mod comments;
mod examples;
mod operation;
mod page;
mod parameters;
mod responses;
mod rules;
mod schemas;

use std::collections::HashMap;

use comments::Comments;
pub use page::page;
use prost_reflect::DescriptorPool;
use schemas::Schemas;
use serde_json::{Map, Value, json};

const DIALECT: &str = "3.1.0";
const DESCRIPTION: &str = "JSON over HTTP in front of gRPC services, made from their contract.\n\n\
    Names are `lowerCamelCase`; names of the contract are taken too. 64-bit integers are strings. Unknown fields and \
    parameters are refused. Errors are RFC 9457 problems; `requestId` finds them in the logs.\n\n\
    `X-Request-Timeout` (seconds) bounds how long a call may take.";

/// Verbs that OpenAPI knows.
const VERBS: [&str; 8] = [
    "GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE",
];

/// The document of every route of `rest`, whose contracts are in `pool`.
pub fn document(pool: &DescriptorPool, rest: &transcode::Api) -> Value {
    let comments = Comments::read(pool);
    let mut schemas = Schemas::new(&comments);
    let mut paths: Map<String, Value> = Map::new();
    let mut spellings = Spellings::default();
    let mut tags: Map<String, Value> = Map::new();
    let mut counts = vec![0; rest.methods().len()];
    for binding in rest.bindings() {
        let index = binding.method_index();
        let method = &rest.methods()[index].descriptor;
        counts[index] += 1;
        if !VERBS.contains(&binding.verb()) {
            continue;
        }
        let service = method.parent_service();
        tags.entry(service.name()).or_insert_with(|| {
            let comment = comments.of(service.parent_file().name(), service.path());
            json!({"name": service.name(), "description": comment})
        });
        let path = spellings.of(operation::path(binding.template(), &method.input()));
        let operation = operation::operation(rest, binding, &path.1, &mut schemas, counts[index]);
        let item = paths.entry(path.0).or_insert_with(|| json!({}));
        item[binding.verb().to_lowercase()] = operation;
    }
    schemas.add_problem();
    json!({
        "openapi": DIALECT,
        "info": {
            "title": title(rest),
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "tags": tags.into_iter().map(|(_, tag)| tag).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "responses": responses::components(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    })
}

/// The first part of the packages, as a name.
fn title(rest: &transcode::Api) -> String {
    let first = rest.methods().first();
    let service = first.map(|method| method.descriptor.parent_service());
    let package = service
        .as_ref()
        .map_or("", |service| service.package_name());
    let mut letters = package.split('.').next().unwrap_or_default().chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let name: String = first.into_iter().chain(letters).collect();
    if name.is_empty() {
        "API".to_owned()
    } else {
        name
    }
}

/// Paths that differ only in the names of their variables are one path to OpenAPI: the first names stay.
#[derive(Default)]
struct Spellings(HashMap<String, Path>);

/// A path and the names of its variables, in order.
type Path = (String, Vec<String>);

impl Spellings {
    fn of(&mut self, path: Path) -> Path {
        let mut nameless = path.0.clone();
        for name in &path.1 {
            nameless = nameless.replacen(&format!("{{{name}}}"), "{}", 1);
        }
        self.0.entry(nameless).or_insert(path).clone()
    }
}

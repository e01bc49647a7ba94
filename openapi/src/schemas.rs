//! Messages and enums as JSON Schema components.

use std::collections::BTreeSet;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{
    comments::Comments,
    examples,
    rules::{self, Rules},
};

/// Name of the problem's schema.
pub(super) const PROBLEM: &str = "Problem";

/// Components that have been referred to.
pub(super) struct Schemas<'c> {
    pub(super) comments: &'c Comments,
    components: Map<String, Value>,
}

impl<'c> Schemas<'c> {
    pub(super) fn new(comments: &'c Comments) -> Self {
        Self {
            comments,
            components: Map::new(),
        }
    }

    pub(super) fn into_components(self) -> Map<String, Value> {
        self.components
    }

    /// A message, by reference where it has parts of its own.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known(message.full_name()) {
            return schema;
        }
        let name = message.full_name();
        if !self.components.contains_key(name) {
            // A place first: messages may hold themselves.
            self.components.insert(name.to_owned(), Value::Null);
            let schema = self.object(message, &BTreeSet::new());
            self.components.insert(name.to_owned(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A message's fields but for those in `without` (proto names).
    pub(super) fn object(
        &mut self,
        message: &MessageDescriptor,
        without: &BTreeSet<String>,
    ) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message
            .fields()
            .filter(|field| !without.contains(field.name()))
        {
            if Rules::of(&field).required {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), self.field(&field));
        }
        let mut schema = json!({"type": "object", "properties": properties});
        let comment = self
            .comments
            .of(message.parent_file().name(), message.path());
        if !comment.is_empty() {
            schema["description"] = comment.into();
        }
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if let Some(exclusions) = exclusions(message, without) {
            schema["not"] = exclusions;
        }
        if let Some(Value::Object(mut example)) = examples::of_message(message) {
            for name in without {
                if let Some(field) = message.get_field_by_name(name) {
                    example.remove(field.json_name());
                }
            }
            schema["examples"] = json!([example]);
        }
        let options = &message.descriptor_proto().options;
        if options.as_ref().is_some_and(|options| options.deprecated()) {
            schema["deprecated"] = true.into();
        }
        schema
    }

    /// A field with its comment and rules.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let rules = Rules::of(field);
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                return json!({"type": "object"});
            };
            let values = self.single(&entry.map_entry_value_field());
            json!({"type": "object", "additionalProperties": values})
        } else if field.is_list() {
            let mut items = self.single(field);
            merge(&mut items, rules.items);
            json!({"type": "array", "items": items})
        } else {
            self.single(field)
        };
        merge(&mut schema, rules.keywords);
        if rules.may_be_empty {
            rules::or_empty(&mut schema);
        }
        let file = field.parent_message().parent_file();
        let comment = self.comments.of(file.name(), field.path());
        if !comment.is_empty() {
            schema["description"] = comment.into();
        }
        if field
            .field_descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|o| o.deprecated())
        {
            schema["deprecated"] = true.into();
        }
        if let Some(example) = examples::of_field(field) {
            schema["examples"] = json!([example]);
        }
        schema
    }

    fn single(&mut self, field: &FieldDescriptor) -> Value {
        match field.kind() {
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32"})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "minimum": 0, "maximum": u32::MAX})
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,18}$"})
            }
            Kind::Uint64 | Kind::Fixed64 => {
                json!({"type": "string", "format": "uint64", "pattern": "^[0-9]{1,19}$"})
            }
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(found) => self.enumeration(&found),
            Kind::Message(found) => self.message(&found),
        }
    }

    fn enumeration(&mut self, found: &EnumDescriptor) -> Value {
        if found.full_name() == "google.protobuf.NullValue" {
            return json!({"type": "null"});
        }
        let name = found.full_name();
        if !self.components.contains_key(name) {
            let file = found.parent_file();
            let mut description = self.comments.of(file.name(), found.path()).to_owned();
            for value in found.values() {
                let comment = self.comments.of(file.name(), value.path());
                if !comment.is_empty() {
                    description.push_str(&format!("\n- `{}`: {comment}", value.name()));
                }
            }
            let names: Vec<_> = found
                .values()
                .map(|value| value.name().to_owned())
                .collect();
            let schema =
                json!({"type": "string", "enum": names, "description": description.trim()});
            self.components.insert(name.to_owned(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// What every error looks like.
    pub(super) fn add_problem(&mut self) {
        let schema = json!({
            "type": "object",
            "description": "RFC 9457",
            "required": ["type", "title", "status", "detail", "code", "requestId"],
            "properties": {
                "type": {"type": "string", "format": "uri-reference"},
                "title": {"type": "string"},
                "status": {"type": "integer", "description": "The HTTP status."},
                "detail": {"type": "string", "description": "A sentence for people."},
                "code": {"type": "string", "description": "The gRPC code, e.g. `NOT_FOUND`."},
                "reason": {"type": "string", "description": "Stable and for programs, e.g. `OUT_OF_STOCK`."},
                "violations": {
                    "type": "array",
                    "description": "Fields that are wrong.",
                    "items": {
                        "type": "object",
                        "required": ["field", "description"],
                        "properties": {
                            "field": {"type": "string", "description": "JSON path, e.g. `lines[0].quantity`."},
                            "description": {"type": "string"},
                        },
                    },
                },
                "details": {
                    "type": "array",
                    "description": "Details of the google.rpc.Status, each with its `@type`.",
                    "items": {"type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}}},
                },
                "requestId": {"type": "string"},
            },
        });
        self.components.insert(PROBLEM.to_owned(), schema);
    }
}

/// Fields of one oneof exclude each other.
fn exclusions(message: &MessageDescriptor, without: &BTreeSet<String>) -> Option<Value> {
    let mut pairs = Vec::new();
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        let names: Vec<_> = oneof
            .fields()
            .filter(|field| !without.contains(field.name()))
            .map(|field| field.json_name().to_owned())
            .collect();
        for (index, one) in names.iter().enumerate() {
            for other in &names[index + 1..] {
                pairs.push(json!({"required": [one, other]}));
            }
        }
    }
    (!pairs.is_empty()).then(|| json!({"anyOf": pairs}))
}

fn merge(schema: &mut Value, keywords: Map<String, Value>) {
    if let Value::Object(schema) = schema {
        schema.extend(keywords);
    }
}

/// Types whose JSON is not that of their fields.
pub(super) fn well_known(name: &str) -> Option<Value> {
    Some(match name {
        "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
        "google.protobuf.Duration" => {
            json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$", "examples": ["1.5s"]})
        }
        "google.protobuf.FieldMask" => {
            json!({"type": "string", "description": "Names of fields with commas between.", "examples": ["name,price"]})
        }
        "google.protobuf.Struct" => json!({"type": "object", "additionalProperties": true}),
        "google.protobuf.Value" => json!({}),
        "google.protobuf.ListValue" => json!({"type": "array", "items": {}}),
        "google.protobuf.Any" => {
            json!({"type": "object", "properties": {"@type": {"type": "string"}}, "additionalProperties": true})
        }
        "google.protobuf.Empty" => json!({"type": "object"}),
        "google.protobuf.DoubleValue" | "google.protobuf.FloatValue" => {
            json!({"type": ["number", "null"]})
        }
        "google.protobuf.Int32Value" | "google.protobuf.UInt32Value" => {
            json!({"type": ["integer", "null"]})
        }
        "google.protobuf.Int64Value" | "google.protobuf.UInt64Value" => {
            json!({"type": ["string", "null"], "format": "int64"})
        }
        "google.protobuf.BoolValue" => json!({"type": ["boolean", "null"]}),
        "google.protobuf.StringValue" => json!({"type": ["string", "null"]}),
        "google.protobuf.BytesValue" => {
            json!({"type": ["string", "null"], "contentEncoding": "base64"})
        }
        _ => return None,
    })
}

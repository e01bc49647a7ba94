//! Descriptors to tables.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind as Described,
    MessageDescriptor, OneofDescriptor,
};

use super::{Enum, EnumId, Field, Form, Kind, Message, MessageId, Shape};
use crate::{
    text::{self, Piece},
    wire,
};

/// Field numbers below this are found by index.
const SMALL_NUMBERS: u32 = 512;

#[derive(Default)]
pub(super) struct Compiler {
    pub(super) messages: HashMap<Box<str>, MessageId>,
    pub(super) enums: HashMap<Box<str>, EnumId>,
}

impl Compiler {
    pub(super) fn message(&self, described: &MessageDescriptor) -> Message {
        let oneofs: Vec<_> = described
            .oneofs()
            .filter(|oneof| !oneof.is_synthetic())
            .collect();
        let mut fields: Vec<_> = described
            .fields()
            .map(|field| self.field(&field, &oneofs))
            .chain(described.extensions().map(|found| self.extension(&found)))
            .collect();
        fields.sort_by_key(|field| field.number);
        let mut by_name = HashMap::default();
        for (field, index) in fields.iter().zip(0u16..) {
            by_name.insert(field.name.clone(), index);
        }
        // Last, so that a JSON name beats another field's proto name.
        for (field, index) in fields.iter().zip(0u16..) {
            by_name.insert(field.json_name.clone(), index);
        }
        let small = fields.iter().map(|field| field.number);
        let small = small.filter(|number| *number < SMALL_NUMBERS).max();
        let mut by_number = vec![0; small.map_or(0, |number| number as usize + 1)];
        for (field, index) in fields.iter().zip(1u16..) {
            if let Some(slot) = by_number.get_mut(field.number as usize) {
                *slot = index;
            }
        }
        let members = |oneof: usize| {
            let fields = fields.iter().zip(0u16..);
            let fields = fields.filter(|(field, _)| field.oneof == Some(oneof as u16));
            fields.map(|(_, index)| index).collect()
        };
        Message {
            name: described.full_name().into(),
            form: self.form(described),
            oneofs: oneofs
                .iter()
                .enumerate()
                .map(|(index, oneof)| (oneof.name().into(), members(index)))
                .collect(),
            fields,
            by_name,
            by_number,
        }
    }

    fn field(&self, described: &FieldDescriptor, oneofs: &[OneofDescriptor]) -> Field {
        let shape = if described.is_map() {
            Shape::Map
        } else if described.cardinality() == Cardinality::Repeated {
            Shape::List {
                packed: described.is_packed(),
            }
        } else if described.supports_presence() {
            Shape::Explicit
        } else {
            Shape::Implicit
        };
        let oneof = described.containing_oneof();
        let oneof = oneof.and_then(|found| oneofs.iter().position(|other| *other == found));
        let kind = self.kind(described.kind(), described.is_group());
        Field {
            number: described.number(),
            tag: tag(described.number(), kind, shape),
            name: described.name().into(),
            json_name: described.json_name().into(),
            head: Piece::new(&label(described.json_name()).as_bytes()[1..]),
            label: label(described.json_name()),
            kind,
            shape,
            quiet: shape == Shape::Explicit,
            oneof: oneof.map(|index| index as u16),
        }
    }

    /// An extension reads in JSON as a field called `[full.name]`.
    fn extension(&self, described: &ExtensionDescriptor) -> Field {
        let shape = match described.cardinality() {
            Cardinality::Repeated => Shape::List {
                packed: described.is_packed(),
            },
            _ => Shape::Explicit,
        };
        let kind = self.kind(described.kind(), described.is_group());
        Field {
            number: described.number(),
            tag: tag(described.number(), kind, shape),
            name: described.json_name().into(),
            json_name: described.json_name().into(),
            head: Piece::new(&label(described.json_name()).as_bytes()[1..]),
            label: label(described.json_name()),
            kind,
            shape,
            quiet: true,
            oneof: None,
        }
    }

    fn kind(&self, kind: Described, group: bool) -> Kind {
        match kind {
            Described::Double => Kind::Double,
            Described::Float => Kind::Float,
            Described::Int32 => Kind::Int32,
            Described::Int64 => Kind::Int64,
            Described::Uint32 => Kind::Uint32,
            Described::Uint64 => Kind::Uint64,
            Described::Sint32 => Kind::Sint32,
            Described::Sint64 => Kind::Sint64,
            Described::Fixed32 => Kind::Fixed32,
            Described::Fixed64 => Kind::Fixed64,
            Described::Sfixed32 => Kind::Sfixed32,
            Described::Sfixed64 => Kind::Sfixed64,
            Described::Bool => Kind::Bool,
            Described::String => Kind::String,
            Described::Bytes => Kind::Bytes,
            Described::Enum(found) => Kind::Enum(self.enums[found.full_name()]),
            Described::Message(found) if group => Kind::Group(self.messages[found.full_name()]),
            Described::Message(found) => Kind::Message(self.messages[found.full_name()]),
        }
    }

    fn form(&self, described: &MessageDescriptor) -> Form {
        match described.full_name() {
            "google.protobuf.Any" => Form::Any,
            "google.protobuf.Timestamp" => Form::Timestamp,
            "google.protobuf.Duration" => Form::Duration,
            "google.protobuf.FieldMask" => Form::FieldMask,
            "google.protobuf.Struct" => Form::Struct,
            "google.protobuf.Value" => Form::Value,
            "google.protobuf.ListValue" => Form::ListValue,
            "google.protobuf.Empty" => Form::Empty,
            "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int64Value"
            | "google.protobuf.UInt64Value"
            | "google.protobuf.Int32Value"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.BoolValue"
            | "google.protobuf.StringValue"
            | "google.protobuf.BytesValue" => described.get_field(1).map_or(Form::Plain, |field| {
                Form::Wrapper(self.kind(field.kind(), false))
            }),
            _ => Form::Plain,
        }
    }
}

/// The tag that encoders write before a field's values.
fn tag(number: u32, kind: Kind, shape: Shape) -> u32 {
    let wire_type = match shape {
        Shape::Map | Shape::List { packed: true } => wire::LEN,
        _ => kind.wire_type(),
    };
    number << 3 | wire_type
}

/// `,"name":`
fn label(name: &str) -> Box<str> {
    let mut label = vec![b','];
    text::put_string(&mut label, name);
    label.push(b':');
    String::from_utf8(label).expect("made from a string").into()
}

impl Enum {
    pub(super) fn compile(described: &EnumDescriptor) -> Self {
        let mut labels: Vec<(i32, Box<str>)> = Vec::new();
        // As declared: the pool sorts its own list of values, and of aliases the first one counts.
        for value in &described.enum_descriptor_proto().value {
            labels.push((value.number(), format!("\"{}\"", value.name()).into()));
        }
        labels.sort_by_key(|(number, _)| *number); // Stable: of two names the first declared stays first.
        labels.dedup_by_key(|(number, _)| *number);
        Self {
            null: described.full_name() == "google.protobuf.NullValue",
            by_name: described
                .values()
                .map(|value| (value.name().into(), value.number()))
                .collect(),
            labels,
        }
    }
}

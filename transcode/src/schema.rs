//! The tables: what transcoding must know of each message and enum, compiled once from descriptors.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind as Described,
    MessageDescriptor,
};

use crate::{text, wire};

/// Every message and enum of a pool as tables.
#[derive(Debug)]
pub struct Schema {
    messages: Vec<Message>,
    enums: Vec<Enum>,
    names: HashMap<Box<str>, MessageId>,
}

/// A message of one [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EnumId(u32);

/// How a message reads in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// The one field's kind.
    Wrapper(Kind),
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

impl Kind {
    pub(crate) fn wire_type(self) -> u32 {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => wire::FIXED64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => wire::FIXED32,
            Self::String | Self::Bytes | Self::Message(_) => wire::LEN,
            Self::Group(_) => wire::GROUP,
            _ => wire::VARINT,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Singular; the zero value and absence are the same.
    Implicit,
    /// Singular; absence is told apart.
    Explicit,
    List {
        packed: bool,
    },
    /// The kind is the entry's message, whose fields are key and value.
    Map,
}

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// `"jsonName":`, ready to be written.
    pub(crate) label: Box<str>,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// The real oneof that holds it.
    pub(crate) oneof: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: Box<str>,
    pub(crate) form: Form,
    /// Sorted by number.
    pub(crate) fields: Vec<Field>,
    /// Names of the oneofs and indexes of their fields.
    pub(crate) oneofs: Vec<(Box<str>, Box<[u16]>)>,
    by_name: HashMap<Box<str>, u16, BuildHasherDefault<Fnv>>,
    /// Index of each field with a small number, plus one; 0 for none.
    by_number: Vec<u16>,
}

#[derive(Debug)]
pub(crate) struct Enum {
    /// `google.protobuf.NullValue`, which reads `null`.
    pub(crate) null: bool,
    by_name: HashMap<Box<str>, i32, BuildHasherDefault<Fnv>>,
    /// Number and quoted name, sorted by number, first names only.
    labels: Vec<(i32, Box<str>)>,
}

/// Field numbers below this are found by index.
const SMALL_NUMBERS: u32 = 512;

impl Schema {
    /// Compiles the tables of every message of the pool.
    pub fn compile(pool: &DescriptorPool) -> Self {
        let mut compiler = Compiler::default();
        for (index, message) in pool.all_messages().enumerate() {
            let id = MessageId(u32::try_from(index).expect("fewer than 2^32 messages"));
            compiler.messages.insert(message.full_name().into(), id);
        }
        for (index, described) in pool.all_enums().enumerate() {
            let id = EnumId(u32::try_from(index).expect("fewer than 2^32 enums"));
            compiler.enums.insert(described.full_name().into(), id);
        }
        Self {
            messages: pool
                .all_messages()
                .map(|message| compiler.message(&message))
                .collect(),
            enums: pool
                .all_enums()
                .map(|described| Enum::compile(&described))
                .collect(),
            names: compiler.messages,
        }
    }

    /// Finds a message by its full name.
    pub fn message_id(&self, full_name: &str) -> Option<MessageId> {
        self.names.get(full_name).copied()
    }

    pub(crate) fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    pub(crate) fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0 as usize]
    }
}

impl Message {
    /// By JSON name or proto name.
    #[inline]
    pub(crate) fn field_named(&self, name: &str) -> Option<u16> {
        self.by_name.get(name).copied()
    }

    #[inline]
    pub(crate) fn field_numbered(&self, number: u32) -> Option<u16> {
        if let Some(index) = self.by_number.get(number as usize) {
            return index.checked_sub(1);
        }
        let index = self
            .fields
            .binary_search_by_key(&number, |field| field.number);
        index.ok().map(|index| index as u16)
    }

    pub(crate) fn field(&self, index: u16) -> &Field {
        &self.fields[usize::from(index)]
    }
}

impl Enum {
    fn compile(described: &EnumDescriptor) -> Self {
        let mut labels: Vec<(i32, Box<str>)> = Vec::new();
        for value in described.values() {
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

    pub(crate) fn number(&self, name: &str) -> Option<i32> {
        self.by_name.get(name).copied()
    }

    /// The quoted name of a number that has one.
    pub(crate) fn label(&self, number: i32) -> Option<&str> {
        let dense = usize::try_from(number)
            .ok()
            .and_then(|at| self.labels.get(at));
        if let Some((found, label)) = dense
            && *found == number
        {
            return Some(label);
        }
        let index = self
            .labels
            .binary_search_by_key(&number, |(found, _)| *found);
        index.ok().map(|index| &*self.labels[index].1)
    }
}

#[derive(Default)]
struct Compiler {
    messages: HashMap<Box<str>, MessageId>,
    enums: HashMap<Box<str>, EnumId>,
}

impl Compiler {
    fn message(&self, described: &MessageDescriptor) -> Message {
        let mut fields: Vec<_> = described.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        let index_of = |wanted: &FieldDescriptor| {
            let index = fields
                .iter()
                .position(|field| field.number() == wanted.number());
            index.expect("a oneof's fields are the message's") as u16
        };
        let oneofs: Vec<_> = described
            .oneofs()
            .filter(|oneof| !oneof.is_synthetic())
            .collect();
        let mut by_name = HashMap::default();
        for field in &fields {
            by_name.insert(field.name().into(), index_of(field));
        }
        // Last, so that a JSON name beats another field's proto name.
        for field in &fields {
            by_name.insert(field.json_name().into(), index_of(field));
        }
        let small = fields
            .iter()
            .map(|field| field.number())
            .filter(|number| *number < SMALL_NUMBERS)
            .max();
        let mut by_number = vec![0; small.map_or(0, |number| number as usize + 1)];
        for field in &fields {
            if let Some(slot) = by_number.get_mut(field.number() as usize) {
                *slot = index_of(field) + 1;
            }
        }
        Message {
            name: described.full_name().into(),
            form: self.form(described),
            oneofs: oneofs
                .iter()
                .map(|oneof| {
                    let members = oneof.fields().map(|field| index_of(&field)).collect();
                    (oneof.name().into(), members)
                })
                .collect(),
            fields: fields
                .iter()
                .map(|field| {
                    let oneof = field.containing_oneof();
                    let oneof = oneof.and_then(|found| oneofs.iter().position(|o| *o == found));
                    self.field(field, oneof.map(|index| index as u16))
                })
                .collect(),
            by_name,
            by_number,
        }
    }

    fn field(&self, described: &FieldDescriptor, oneof: Option<u16>) -> Field {
        let mut label = Vec::new();
        text::put_string(&mut label, described.json_name());
        label.push(b':');
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
        Field {
            number: described.number(),
            name: described.name().into(),
            json_name: described.json_name().into(),
            label: String::from_utf8(label).expect("made from a string").into(),
            kind: self.kind(described),
            shape,
            oneof,
        }
    }

    fn kind(&self, field: &FieldDescriptor) -> Kind {
        match field.kind() {
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
            Described::Message(found) if field.is_group() => {
                Kind::Group(self.messages[found.full_name()])
            }
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
            | "google.protobuf.BytesValue" => described
                .get_field(1)
                .map_or(Form::Plain, |field| Form::Wrapper(self.kind(&field))),
            _ => Form::Plain,
        }
    }
}

/// FNV-1a: names are short, and the keys are ours, so nobody can make them collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

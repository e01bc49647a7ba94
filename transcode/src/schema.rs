//! The tables: what transcoding must know of each message and enum, compiled once from descriptors.

mod compile;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use compile::Compiler;
use prost_reflect::DescriptorPool;

use crate::{text::Piece, wire};

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
    /// The number with the wire type that encoders write it with.
    pub(crate) tag: u32,
    pub(crate) name: Box<str>,
    pub(crate) json_name: Box<str>,
    /// `,"jsonName":`, as encoders write it; before the first member of an object there is no comma.
    pub(crate) label: Box<str>,
    /// The same without a comma, ready to be written.
    pub(crate) head: Piece,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// Whether JSON leaves it out where it has no value: it has presence or is an extension.
    pub(crate) quiet: bool,
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

    /// As [`Self::field_named`]; looks at the field `next` first, since most JSON follows the order of the contract.
    #[inline]
    pub(crate) fn field_after(&self, next: u16, name: &str) -> Option<u16> {
        match self.fields.get(usize::from(next)) {
            Some(field) if *field.json_name == *name => Some(next),
            _ => self.field_named(name),
        }
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

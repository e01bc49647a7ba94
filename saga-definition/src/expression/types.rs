//! Types of expressions, as descriptors give them.

use std::{collections::HashMap, fmt, sync::Arc};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// The type of an expression as far as it is known before it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// Known only when it runs.
    Dyn,
    /// Of nothing yet: elements of an empty list.
    Nothing,
    /// `null`
    Null,
    /// A truth value.
    Bool,
    /// A signed integer; enums too.
    Int,
    /// An unsigned integer.
    Uint,
    /// A floating point number.
    Double,
    /// A text.
    String,
    /// Bytes.
    Bytes,
    /// A list of one type.
    List(Box<Self>),
    /// A map from strings, numbers or truth values to one type.
    Map(Box<Self>),
    /// A message of the contract.
    Message(MessageDescriptor),
    /// A map whose keys are known.
    Object(Arc<HashMap<String, Self>>),
}

impl Type {
    /// The type of a field's value.
    pub fn of_field(field: &FieldDescriptor) -> Self {
        if field.is_map()
            && let Kind::Message(entry) = field.kind()
        {
            return Self::Map(Box::new(Self::of_kind(
                &entry.map_entry_value_field().kind(),
            )));
        }
        let one = Self::of_kind(&field.kind());
        if field.is_list() {
            Self::List(Box::new(one))
        } else {
            one
        }
    }

    /// The type of one value of a kind.
    pub fn of_kind(kind: &Kind) -> Self {
        match kind {
            Kind::Double | Kind::Float => Self::Double,
            Kind::Int32
            | Kind::Int64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Sfixed32
            | Kind::Sfixed64
            | Kind::Enum(_) => Self::Int,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Self::Uint,
            Kind::Bool => Self::Bool,
            Kind::String => Self::String,
            Kind::Bytes => Self::Bytes,
            Kind::Message(message) => Self::of_message(message),
        }
    }

    /// The type of a message; JSON-like ones are known only when they are there.
    pub fn of_message(message: &MessageDescriptor) -> Self {
        match message.full_name() {
            "google.protobuf.Value" => Self::Dyn,
            "google.protobuf.Struct" => Self::Map(Box::new(Self::Dyn)),
            "google.protobuf.ListValue" => Self::List(Box::new(Self::Dyn)),
            _ => Self::Message(message.clone()),
        }
    }

    /// The narrowest type that both are.
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Nothing, other) | (other, Self::Nothing) => other,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(*b))),
            (Self::Map(a), Self::Map(b)) => Self::Map(Box::new(a.join(*b))),
            _ => Self::Dyn,
        }
    }

    /// Whether a value of this type may be one of the other.
    pub fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn | Self::Nothing, _) | (_, Self::Dyn | Self::Nothing) => true,
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.may_be(b),
            (Self::Object(_) | Self::Map(_), Self::Object(_) | Self::Map(_) | Self::Message(_))
            | (Self::Message(_), Self::Object(_) | Self::Map(_)) => true,
            (a, b) => a == b || (a.is_number() && b.is_number()),
        }
    }

    /// Whether it is a number.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn => f.write_str("dyn"),
            Self::Nothing => f.write_str("nothing"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::List(element) => write!(f, "list({element})"),
            Self::Map(value) => write!(f, "map({value})"),
            Self::Message(message) => f.write_str(message.full_name()),
            Self::Object(_) => f.write_str("map"),
        }
    }
}

/// The variables that an expression may name.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Top-level variables by name.
    pub variables: HashMap<String, Type>,
    /// Replies of the steps that stand before, by step; `None` where `steps` is not there at all.
    pub steps: Option<HashMap<String, Type>>,
    /// Every step of the definition, to tell an unknown one from one that does not stand before.
    pub all_steps: Vec<String>,
}

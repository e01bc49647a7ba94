//! Random contracts, proto2 and proto3.

use prost_reflect::DescriptorPool;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, EnumValueDescriptorProto,
    FieldDescriptorProto, FieldOptions, FileDescriptorProto, FileDescriptorSet, MessageOptions,
    OneofDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use super::random::Choices;

/// Well-known types that fields of random messages may have.
const WELL_KNOWN: [&str; 16] = [
    "Any",
    "Timestamp",
    "Duration",
    "FieldMask",
    "Struct",
    "Value",
    "ListValue",
    "Empty",
    "DoubleValue",
    "FloatValue",
    "Int64Value",
    "UInt64Value",
    "Int32Value",
    "BoolValue",
    "StringValue",
    "BytesValue",
];

const SCALARS: [Type; 15] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

/// A contract that is being made up.
struct Contract<'c, 'b> {
    choices: &'c mut Choices<'b>,
    proto3: bool,
    messages: u8,
}

impl Contract<'_, '_> {
    fn file(mut self) -> FileDescriptorProto {
        let messages = (0..self.messages)
            .map(|index| self.message(index))
            .collect();
        FileDescriptorProto {
            name: Some("random.proto".to_owned()),
            package: Some("random.v1".to_owned()),
            dependency: [
                "any",
                "timestamp",
                "duration",
                "field_mask",
                "struct",
                "empty",
                "wrappers",
            ]
            .map(|name| format!("google/protobuf/{name}.proto"))
            .to_vec(),
            message_type: messages,
            enum_type: vec![self.enumeration()],
            syntax: self.proto3.then(|| "proto3".to_owned()),
            ..FileDescriptorProto::default()
        }
    }

    fn enumeration(&mut self) -> EnumDescriptorProto {
        let count = 1 + self.choices.byte() % 5;
        let value = |(index, number)| EnumValueDescriptorProto {
            name: Some(format!("VALUE_{index}")),
            number: Some(number),
            options: None,
        };
        // Aliases and numbers far apart, in no order; the first one is 0.
        let numbers: Vec<_> = std::iter::once(0)
            .chain((1..count).map(|_| i32::from(self.choices.byte() as i8)))
            .collect();
        EnumDescriptorProto {
            name: Some("E".to_owned()),
            value: numbers.into_iter().enumerate().map(value).collect(),
            options: Some(EnumOptions {
                allow_alias: Some(true),
                ..EnumOptions::default()
            }),
            ..EnumDescriptorProto::default()
        }
    }

    fn message(&mut self, index: u8) -> DescriptorProto {
        let mut message = DescriptorProto {
            name: Some(format!("M{index}")),
            ..DescriptorProto::default()
        };
        let mut number = 0;
        let mut oneofs = 0;
        for index in 0..self.choices.byte() % 12 {
            number += match self.choices.byte() {
                step @ 0..=200 => 1 + i32::from(step) % 3,
                step => i32::from(step) * 100,
            };
            let mut field = self.field(index, number);
            match self.choices.byte() % 8 {
                0 => {
                    let name = field.name().to_owned();
                    let entry = self.map_entry(&name);
                    field.label = Some(Label::Repeated.into());
                    field.r#type = Some(Type::Message.into());
                    field.type_name =
                        Some(format!(".random.v1.{}.{}", message.name(), entry.name()));
                    message.nested_type.push(entry);
                }
                1 | 2 => {
                    field.label = Some(Label::Repeated.into());
                    let packable = !matches!(
                        field.r#type(),
                        Type::String | Type::Bytes | Type::Message | Type::Group
                    );
                    if packable {
                        field.options = Some(FieldOptions {
                            packed: Some(self.choices.byte().is_multiple_of(2)),
                            ..FieldOptions::default()
                        });
                    }
                }
                // The first oneof takes them all, in any place among the others.
                3 | 4 => {
                    oneofs = 1;
                    field.oneof_index = Some(0);
                }
                5 if self.proto3 => field.proto3_optional = Some(true),
                6 if !self.proto3 => field.label = Some(Label::Required.into()),
                _ => {}
            }
            message.field.push(field);
        }
        let name = |name: String| OneofDescriptorProto {
            name: Some(name),
            options: None,
        };
        if oneofs == 1 {
            message.oneof_decl.push(name("choice".to_owned()));
        }
        for field in message
            .field
            .iter_mut()
            .filter(|field| field.proto3_optional())
        {
            field.oneof_index = Some(message.oneof_decl.len() as i32);
            message.oneof_decl.push(name(format!("_{}", field.name())));
        }
        message
    }

    fn field(&mut self, index: u8, number: i32) -> FieldDescriptorProto {
        let choice = self.choices.byte();
        let (kind, name) = match choice % 24 {
            choice @ 0..=14 => (SCALARS[usize::from(choice)], None),
            15 => (Type::Enum, Some(".random.v1.E".to_owned())),
            16 if !self.proto3 => {
                let other = self.choices.byte() % self.messages;
                (Type::Group, Some(format!(".random.v1.M{other}")))
            }
            16..=18 => {
                let other = self.choices.byte() % self.messages;
                (Type::Message, Some(format!(".random.v1.M{other}")))
            }
            19 => (Type::Enum, Some(".google.protobuf.NullValue".to_owned())),
            _ => {
                let name = WELL_KNOWN[usize::from(self.choices.byte()) % WELL_KNOWN.len()];
                (Type::Message, Some(format!(".google.protobuf.{name}")))
            }
        };
        let json_name = match self.choices.byte() % 5 {
            0 => Some(format!("odd-\"name\\ {index}€")),
            _ => None,
        };
        FieldDescriptorProto {
            name: Some(format!("a_field_{index}")),
            number: Some(number),
            label: Some(Label::Optional.into()),
            r#type: Some(kind.into()),
            type_name: name,
            json_name,
            ..FieldDescriptorProto::default()
        }
    }

    fn map_entry(&mut self, field: &str) -> DescriptorProto {
        let camel: String = field
            .split('_')
            .map(|part| part[..1].to_uppercase() + &part[1..])
            .collect();
        let keys = SCALARS.map(Some).map(|kind| {
            kind.filter(|kind| !matches!(kind, Type::Double | Type::Float | Type::Bytes))
        });
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let mut key = self.field(0, 1);
        key.name = Some("key".to_owned());
        key.json_name = None;
        key.type_name = None;
        key.r#type = Some(keys[usize::from(self.choices.byte()) % keys.len()].into());
        let mut value = self.field(1, 2);
        value.name = Some("value".to_owned());
        value.json_name = None;
        if value.r#type() == Type::Group {
            value.r#type = Some(Type::Message.into());
        }
        DescriptorProto {
            name: Some(format!("{camel}Entry")),
            field: vec![key, value],
            options: Some(MessageOptions {
                map_entry: Some(true),
                ..MessageOptions::default()
            }),
            ..DescriptorProto::default()
        }
    }
}

/// A pool of one random file and what it imports.
pub(crate) fn pool(choices: &mut Choices<'_>) -> DescriptorPool {
    let contract = Contract {
        proto3: !choices.byte().is_multiple_of(4),
        messages: 1 + choices.byte() % 3,
        choices,
    };
    let google = super::POOL.file_descriptor_protos();
    let mut file: Vec<_> = google
        .filter(|file| file.name().starts_with("google/protobuf/"))
        .cloned()
        .collect();
    file.push(contract.file());
    DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file }).expect("a contract")
}

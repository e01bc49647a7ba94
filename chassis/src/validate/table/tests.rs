//! What the table takes keeps all rules: messages of every kind, good ones and such with something odd, are shown to it and
//! to what looks at them rule by rule.

use std::collections::BTreeSet;

use fastrand::Rng;
use prost_reflect::{
    DynamicMessage, ReflectMessage as _, Value,
    prost::{Message as _, encoding::encode_varint},
};

use super::*;
use crate::validate::violations::Place;

/// Messages made of each kind of a contract.
const MESSAGES: u64 = 60;
/// The same of the contract with every kind of rule.
const MESSAGES_OF_ALL_RULES: u64 = 1_000;
/// Deepest nesting of those.
const DEPTH: u32 = 5;
/// Of these at least one is good for each text of the contracts.
const TEXTS: [&str; 18] = [
    "",
    "a",
    "abcd",
    "EUR",
    "en-GB",
    "123456",
    "erp-2",
    "orders:read",
    "correct horse battery",
    "0190a5c0-0000-7000-8000-000000000000",
    "ADA@example.com",
    "é",
    "日本語",
    "nul\0",
    "mug.1_a-b",
    "ada@example",
    "0190a5c0000070008000000000000000",
    "{\"a\": 1}",
];

struct Contract {
    /// Made of each kind of message.
    messages: u64,
    pool: DescriptorPool,
    rules: Rules,
    table: Table,
}

impl Contract {
    fn of(pool: DescriptorPool, messages: u64) -> Self {
        let rules = Rules::of(&pool);
        let table = Table::of(&pool, &rules);
        Self {
            messages,
            pool,
            rules,
            table,
        }
    }

    /// The mesh's.
    fn ours() -> Self {
        Self::of(contracts::DESCRIPTOR_POOL.clone(), MESSAGES)
    }

    /// One with every kind of rule.
    fn of_all_rules() -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proto");
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");
        let mut compiler = protox::Compiler::new([folder, shared]).expect("folders");
        compiler
            .include_imports(true)
            .open_file("rules.proto")
            .expect("a contract");
        let set = compiler.encode_file_descriptor_set();
        let pool = DescriptorPool::decode(&*set).expect("a descriptor set");
        Self::of(pool, MESSAGES_OF_ALL_RULES)
    }

    /// Whether the table takes the message.
    fn takes(&self, message: &DynamicMessage) -> bool {
        let name = message.descriptor();
        self.table
            .keeps_all(name.full_name(), &message.encode_to_vec())
    }

    /// Fails where the table takes what breaks a rule; says what it thinks of it.
    fn agrees(&self, message: &MessageDescriptor, bytes: &[u8]) -> bool {
        let takes = self.table.keeps_all(message.full_name(), bytes);
        if takes && let Ok(decoded) = DynamicMessage::decode(message.clone(), bytes) {
            let broken = self.rules.check(&decoded);
            assert!(broken.is_empty(), "{broken:?}: {decoded:?} {bytes:?}");
        }
        takes
    }
}

/// Makes messages.
struct Maker<'c> {
    contract: &'c Contract,
    rng: Rng,
    /// How many values of a hundred are not chosen by their rules.
    odd: u32,
}

impl Maker<'_> {
    fn is_odd(&mut self) -> bool {
        self.rng.u32(0..100) < self.odd
    }

    fn keeps(&self, value: &Value, compiled: &Compiled) -> bool {
        let mut found = Vec::new();
        let rules = &self.contract.rules;
        rules.check_value(value, compiled, Place::Root, &mut found);
        found.is_empty()
    }

    fn message(&mut self, descriptor: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let all = &self.contract.rules;
        let rules = all.get(descriptor.full_name()).expect("every message");
        let none = Compiled::default();
        let mut fields: Vec<_> = descriptor.fields().collect();
        // Of a oneof, what is set last stays.
        self.rng.shuffle(&mut fields);
        for field in fields {
            let of_field = rules.fields.iter().find(|(known, _)| *known == field);
            let compiled = of_field.map_or(&none, |(_, compiled)| compiled);
            let oneof = field.containing_oneof();
            let is_needed = oneof.is_some_and(|oneof| rules.oneofs.contains(&oneof));
            if !self.is_left_out(&field, compiled, is_needed, depth) {
                let value = self.field(&field, compiled, depth);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn is_left_out(
        &mut self,
        field: &FieldDescriptor,
        compiled: &Compiled,
        is_needed: bool,
        depth: u32,
    ) -> bool {
        let is_ignored = compiled.rules.ignore() == Ignore::Always;
        let may_be = !compiled.rules.required()
            && (is_ignored
                || compiled.skips_unset(field)
                || self.keeps(&field.default_value(), compiled));
        let is_deep = depth == 0 && matches!(field.kind(), Kind::Message(_));
        (may_be && (is_deep || (!is_needed && self.rng.bool()))) || self.is_odd()
    }

    fn field(&mut self, field: &FieldDescriptor, compiled: &Compiled, depth: u32) -> Value {
        if !field.is_list() && !field.is_map() {
            return self.value(&field.kind(), compiled, depth);
        }
        if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let (none, value) = (Compiled::default(), entry.map_entry_value_field());
            let key = self.value(&entry.map_entry_key_field().kind(), &none, depth);
            let key = key.into_map_key().expect("a key");
            let value = self.value(&value.kind(), &none, depth);
            return Value::Map([(key, value)].into());
        }
        let (least, most) = match &compiled.rules.r#type {
            Some(Type::Repeated(list)) => (list.min_items(), list.max_items.unwrap_or(7)),
            _ => (0, 3),
        };
        let least = least.max(compiled.rules.required().into());
        let count = match self.is_odd() {
            true => *self.rng.choice(&[0, 1, 2, most + 1]).expect("some"),
            false => self.rng.u64(least..=most.min(least + 3)),
        };
        let none = Compiled::default();
        let items = compiled.items.as_deref().unwrap_or(&none);
        let item = |_| self.value(&field.kind(), items, depth);
        let mut items: Vec<_> = (0..count.min(200)).map(item).collect();
        if matches!(&compiled.rules.r#type, Some(Type::Repeated(list)) if list.unique()) {
            let mut seen = BTreeSet::new();
            items.retain(|item| seen.insert(item.to_string()));
            let twice = items.first().filter(|_| self.is_odd()).cloned();
            items.extend(twice);
        }
        Value::List(items)
    }

    fn value(&mut self, kind: &Kind, compiled: &Compiled, depth: u32) -> Value {
        if let Kind::Message(descriptor) = kind {
            let inner = self.known(descriptor);
            let make = || self.message(descriptor, depth.saturating_sub(1));
            return Value::Message(inner.unwrap_or_else(make));
        }
        if compiled.rules.ignore() == Ignore::Always || self.is_odd() {
            return self.scalar(kind);
        }
        for _ in 0..10_000 {
            let value = self.scalar(kind);
            if self.keeps(&value, compiled) {
                return value;
            }
        }
        panic!("no good value for {:?}", compiled.rules)
    }

    /// A well-known type that has bounds.
    fn known(&mut self, descriptor: &MessageDescriptor) -> Option<DynamicMessage> {
        let mut message = DynamicMessage::new(descriptor.clone());
        match Bound::of(descriptor.full_name())? {
            Bound::Timestamp | Bound::Duration => {
                let seconds = match self.is_odd() {
                    true => self.rng.i64(..),
                    false => self.rng.i64(0..4_000_000_000),
                };
                let nanos = match self.is_odd() {
                    true => self.rng.i32(..),
                    false => self.rng.i32(0..1_000_000_000),
                };
                message.set_field_by_name("seconds", Value::I64(seconds));
                message.set_field_by_name("nanos", Value::I32(nanos));
            }
            Bound::FieldMask => {
                let count = if self.is_odd() { 101 } else { 2 };
                let long = if self.is_odd() { 201 } else { 20 };
                let path = Value::String("p".repeat(long));
                message.set_field_by_name("paths", Value::List(vec![path; count]));
            }
            Bound::Struct => return None,
        }
        Some(message)
    }

    fn scalar(&mut self, kind: &Kind) -> Value {
        let small = self.rng.i32(-10..10);
        let number = *self
            .rng
            .choice(&[small, small, 0, 1, 300, 1000, 1001, i32::MIN, i32::MAX])
            .expect("some");
        let long = *self
            .rng
            .choice(&[i64::from(number), i64::MIN, i64::MAX, 1 << 53])
            .expect("some");
        let double = *self
            .rng
            .choice(&[f64::from(number), 0.0, -0.0, 1.5, f64::NAN, f64::INFINITY])
            .expect("some");
        match kind {
            Kind::Double => Value::F64(double),
            Kind::Float => Value::F32(double as f32),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(long),
            Kind::Uint32 | Kind::Fixed32 => Value::U32(number.cast_unsigned()),
            Kind::Uint64 | Kind::Fixed64 => Value::U64(long.cast_unsigned()),
            Kind::Bool => Value::Bool(self.rng.bool()),
            Kind::Bytes => Value::Bytes(vec![7; self.rng.usize(0..5)].into()),
            Kind::Enum(values) => match self.rng.choice(values.values()) {
                Some(value) if self.rng.bool() => Value::EnumNumber(value.number()),
                _ => Value::EnumNumber(number),
            },
            Kind::String => Value::String(match self.rng.u32(0..3) {
                0 => "x".repeat(self.rng.usize(0..130)),
                _ => (*self.rng.choice(&TEXTS).expect("some")).to_owned(),
            }),
            Kind::Message(_) => unreachable!("no scalar"),
        }
    }
}

/// The requests of all rpcs, and the messages in them.
fn requests(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let services = pool.services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|method| method.input()).collect()
}

fn is_looked_at(message: &MessageDescriptor) -> bool {
    let file = message.parent_file();
    !message.is_map_entry() && !file.name().starts_with("google/protobuf/descriptor")
}

#[test]
fn good_requests_are_taken_at_once() {
    let ours = Contract::ours();
    let requests = requests(&ours.pool);
    assert!(requests.len() > 50);
    for (seed, request) in (0..).zip(&requests) {
        let mut maker = Maker {
            contract: &ours,
            rng: Rng::with_seed(seed),
            odd: 0,
        };
        for _ in 0..MESSAGES / 3 {
            let message = maker.message(request, DEPTH);
            let broken = ours.rules.check(&message);
            assert!(broken.is_empty(), "{broken:?}: {message:?}");
            assert!(ours.takes(&message), "{message:?}");
        }
    }
}

/// Makes messages of every kind, with more and with less that is odd, has them changed, and looks whether the table is right.
fn compare(contract: &Contract, change: impl Fn(&mut Maker<'_>, &MessageDescriptor, &mut Vec<u8>)) {
    let (mut made, mut taken) = (0, 0);
    for (seed, descriptor) in (0..).zip(contract.pool.all_messages().filter(is_looked_at)) {
        for round in 0..contract.messages {
            let mut maker = Maker {
                contract,
                rng: Rng::with_seed(seed * contract.messages + round),
                odd: [0, 5, 25][(round % 3) as usize],
            };
            let mut bytes = maker.message(&descriptor, DEPTH).encode_to_vec();
            change(&mut maker, &descriptor, &mut bytes);
            made += 1;
            taken += u64::from(contract.agrees(&descriptor, &bytes));
        }
    }
    assert!((made / 10..made).contains(&taken), "{taken} of {made}");
}

#[test]
fn what_is_taken_breaks_no_rule() {
    for contract in [Contract::ours(), Contract::of_all_rules()] {
        compare(&contract, |_, _, _| {});
    }
}

/// Makes of a message's bytes what no encoder writes.
fn garble(maker: &mut Maker<'_>, descriptor: &MessageDescriptor, bytes: &mut Vec<u8>) {
    match maker.rng.u32(0..4) {
        0 if !bytes.is_empty() => {
            let place = maker.rng.usize(0..bytes.len());
            let any = maker.rng.u8(..);
            bytes[place] = *maker.rng.choice(&[0, 1, 0x80, 0xff, any]).expect("some");
        }
        1 => bytes.truncate(maker.rng.usize(0..=bytes.len())),
        // Fields twice: the last one counts, lists and messages are put together.
        2 => bytes.extend(maker.message(descriptor, DEPTH).encode_to_vec()),
        // A field more, which may be unknown, and may be zero.
        _ => {
            let known = maker.rng.choice(descriptor.fields());
            let number = known.map_or(30, |field| field.number());
            let wire_type = *maker.rng.choice(&[VARINT, LEN]).expect("some");
            encode_varint((number << 3 | wire_type).into(), bytes);
            let is_zero = maker.rng.bool();
            bytes.push(u8::from(!is_zero));
            // The text that the length announces.
            bytes.extend((wire_type == LEN && !is_zero).then_some(b'a'));
        }
    }
}

#[test]
fn what_is_taken_breaks_no_rule_as_bytes_of_no_encoder() {
    for contract in [Contract::ours(), Contract::of_all_rules()] {
        compare(&contract, garble);
    }
}

/// A good message of the test contract.
fn good(contract: &Contract, name: &str, seed: u64) -> DynamicMessage {
    let descriptor = contract.pool.get_message_by_name(name).expect("known");
    let mut maker = Maker {
        contract,
        rng: Rng::with_seed(seed),
        odd: 0,
    };
    maker.message(&descriptor, DEPTH)
}

#[test]
fn rules_of_every_kind_are_known_to_the_table() {
    let contract = Contract::of_all_rules();
    for name in [
        "Texts", "Numbers", "Free", "Lists", "Nested", "Times", "All",
    ] {
        let name = format!("rules.{name}");
        let taken = (0..MESSAGES).filter(|seed| contract.takes(&good(&contract, &name, *seed)));
        // What is ignored may break rules of messages, which the table does not know.
        assert!(taken.count() as u64 > MESSAGES / 2, "{name}");
    }
    for name in ["rules.Unknown", "rules.Required"] {
        assert!(!contract.takes(&good(&contract, name, 0)), "{name}");
    }
}

#[test]
fn nesting_is_bounded() {
    let contract = Contract::of_all_rules();
    let mut bytes = Vec::new();
    let mut taken = Vec::new();
    for _ in 0..MAX_DEPTH + 5 {
        let mut outer = vec![1 << 3 | LEN as u8, 1, b'a', 7 << 3, 1];
        if !bytes.is_empty() {
            let inner: Vec<u8> = bytes;
            outer.push(2 << 3 | LEN as u8);
            encode_varint(inner.len() as u64, &mut outer);
            outer.extend(inner);
        }
        bytes = outer;
        taken.push(contract.table.keeps_all("rules.Nested", &bytes));
    }
    let deepest = MAX_DEPTH as usize;
    assert!(taken[..deepest].iter().all(|taken| *taken));
    assert!(!taken[deepest..].iter().any(|taken| *taken));
}

//! Tells by a message's wire bytes that it surely keeps every rule.
//!
//! The table is compiled once from the rules. It says yes or nothing: what it does not know, what encoders do not write
//! today (a field twice, a zero where zeros are left out, an unknown field) and what breaks a rule is for
//! [`Rules::check`] to look at, which decides alone what is wrong.

mod check;

use std::collections::HashMap;

use contracts::buf::validate::{Ignore, RepeatedRules, field_rules::Type};
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use self::check::Check;
use super::{
    rules::{Compiled, MessageRules, Rules},
    well_known::Bound,
    wire::{FIXED32, FIXED64, LEN, Raw, Records, VARINT},
};

/// Deepest nesting, as decoders have it.
const MAX_DEPTH: u32 = 100;
/// Largest field number of a message that the table looks at.
const MAX_NUMBER: u32 = 1023;

/// The rules of every message, for wire bytes.
pub(super) struct Table {
    /// `None`: has a rule or a form that the table does not know.
    messages: Vec<Option<Message>>,
    ids: HashMap<String, usize>,
}

struct Message {
    /// At most 64: each has a bit.
    fields: Vec<Field>,
    /// Index of the field with each number, plus one; 0 for none.
    by_number: Box<[u8]>,
    /// Bits of the fields that must be there: they are required, or zero breaks a rule of theirs.
    must: u64,
    /// Bits of the fields of each oneof, and whether one of them must be there.
    oneofs: Vec<(u64, bool)>,
    bound: Option<Bound>,
}

struct Field {
    wire_type: u32,
    check: Check,
    shape: Shape,
}

enum Shape {
    /// Zero and absence are the same, and zeros are not written.
    Implicit,
    Explicit,
    /// Maps too: entries are messages.
    List(Sizes),
}

/// How many items a list may have.
struct Sizes {
    least: u64,
    most: u64,
    unique: bool,
}

impl Table {
    /// Compiles the rules of every message of the pool.
    pub(super) fn of(pool: &DescriptorPool, rules: &Rules) -> Self {
        let names = pool.all_messages().enumerate();
        let ids = names.map(|(id, message)| (message.full_name().to_owned(), id));
        let ids = ids.collect();
        let compile = |message: MessageDescriptor| {
            let rules = rules.get(message.full_name())?;
            Message::of(&message, rules, &ids)
        };
        Self {
            messages: pool.all_messages().map(compile).collect(),
            ids,
        }
    }

    /// Whether these bytes of a message surely keep every rule.
    pub(super) fn keeps_all(&self, name: &str, bytes: &[u8]) -> bool {
        let id = self.ids.get(name);
        id.is_some_and(|id| self.message(*id, bytes, MAX_DEPTH).is_some())
    }

    /// As all below, `None`: not surely.
    fn message(&self, id: usize, bytes: &[u8], depth: u32) -> Option<()> {
        let message = self.messages[id].as_ref()?;
        let depth = depth.checked_sub(1)?;
        if let Some(bound) = message.bound {
            sure(bound.surely_holds(bytes))?;
            // All other bounds are about all that is in them.
            if !matches!(bound, Bound::Struct) {
                return Some(());
            }
        }
        let mut records = Records::new(bytes);
        let mut seen = 0;
        while !records.is_empty() {
            let tag = records.tag()?;
            let index = message.by_number.get((tag >> 3) as usize)?.checked_sub(1)?;
            let bit = 1 << index;
            sure(seen & bit == 0)?;
            seen |= bit;
            let field = &message.fields[usize::from(index)];
            match &field.shape {
                Shape::List(sizes) => self.list(field, sizes, tag, &mut records, depth)?,
                shape => {
                    sure(tag & 7 == field.wire_type)?;
                    let value = records.value(field.wire_type)?;
                    sure(matches!(shape, Shape::Explicit) || !value.is_zero())?;
                    self.value(&field.check, value, depth)?;
                }
            }
        }
        let oneof_is_good = |(fields, required): &(u64, bool)| {
            let set = (seen & fields).count_ones();
            set == 1 || (set == 0 && !required)
        };
        sure(seen & message.must == message.must && message.oneofs.iter().all(oneof_is_good))
    }

    /// A list's items, after the first one's tag.
    fn list(
        &self,
        field: &Field,
        sizes: &Sizes,
        tag: u32,
        records: &mut Records<'_>,
        depth: u32,
    ) -> Option<()> {
        let wire_type = field.wire_type;
        let mut items = Vec::new();
        let mut count = 0;
        let mut item = |value| {
            count += 1;
            if sizes.unique {
                sure(count <= sizes.most && !items.contains(&value))?;
                items.push(value);
            }
            self.value(&field.check, value, depth)
        };
        if tag & 7 == LEN && wire_type != LEN {
            let Raw::Bytes(packed) = records.value(LEN)? else {
                return None;
            };
            let mut packed = Records::new(packed);
            while !packed.is_empty() {
                item(packed.value(wire_type)?)?;
            }
        } else {
            sure(tag & 7 == wire_type)?;
            item(records.value(wire_type)?)?;
            while records.eat(tag) {
                item(records.value(wire_type)?)?;
            }
        }
        sure((sizes.least..=sizes.most).contains(&count))
    }

    fn value(&self, check: &Check, value: Raw<'_>, depth: u32) -> Option<()> {
        match (check, value) {
            (Check::Message(id), Raw::Bytes(bytes)) => self.message(*id, bytes, depth),
            (check, value) => sure(check.keeps(value)),
        }
    }
}

fn sure(is_sure: bool) -> Option<()> {
    is_sure.then_some(())
}

impl Message {
    fn of(
        message: &MessageDescriptor,
        rules: &MessageRules,
        ids: &HashMap<String, usize>,
    ) -> Option<Self> {
        let mut numbers: Vec<_> = message.fields().map(|field| field.number()).collect();
        numbers.sort_unstable();
        let greatest = numbers.last().copied().unwrap_or_default();
        sure(numbers.len() <= 64 && greatest <= MAX_NUMBER)?;
        let bit = |field: &FieldDescriptor| {
            let index = numbers.binary_search(&field.number());
            1 << index.expect("one of them")
        };
        let mut by_number = vec![0; greatest as usize + 1].into_boxed_slice();
        let mut fields = Vec::with_capacity(numbers.len());
        let mut must = 0;
        for (index, &number) in (1..).zip(&numbers) {
            by_number[number as usize] = index;
            let descriptor = message.get_field(number)?;
            let mut with_rules = rules.fields.iter();
            let compiled = with_rules.find(|(field, _)| field.number() == number);
            let compiled = compiled.map(|(_, compiled)| compiled);
            let field = Field::of(&descriptor, compiled, ids)?;
            if compiled.is_some_and(|rules| !field.may_be_absent(rules)) {
                must |= bit(&descriptor);
            }
            fields.push(field);
        }
        let oneofs = message.oneofs().map(|oneof| {
            let is_required = rules.oneofs.contains(&oneof);
            let bits = oneof.fields().map(|field| bit(&field));
            (bits.fold(0, |all, bit| all | bit), is_required)
        });
        Some(Self {
            oneofs: oneofs.collect(),
            fields,
            by_number,
            must,
            bound: rules.bound,
        })
    }
}

impl Field {
    fn of(
        field: &FieldDescriptor,
        compiled: Option<&Compiled>,
        ids: &HashMap<String, usize>,
    ) -> Option<Self> {
        let kind = field.kind();
        sure(!field.is_group() && field.cardinality() != Cardinality::Required)?;
        let is_ignored = compiled.is_some_and(|all| all.rules.ignore() == Ignore::Always);
        let (shape, compiled) = if field.is_list() || field.is_map() {
            let rules = compiled.and_then(|compiled| compiled.rules.r#type.as_ref());
            let sizes = match rules {
                Some(Type::Repeated(rules)) if !is_ignored => Sizes::of(rules),
                None | Some(Type::Repeated(_)) => Sizes::of(&RepeatedRules::default()),
                Some(_) => return None,
            };
            sure(!sizes.unique || kind == Kind::String)?;
            let items = compiled.and_then(|compiled| compiled.items.as_deref());
            (Shape::List(sizes), items)
        } else if field.supports_presence() {
            (Shape::Explicit, compiled)
        } else {
            (Shape::Implicit, compiled)
        };
        let check = match &kind {
            _ if is_ignored => Check::Nothing,
            Kind::Message(inner) => Check::Message(*ids.get(inner.full_name())?),
            kind => Check::of(kind, compiled)?,
        };
        Some(Self {
            wire_type: wire_type(&kind),
            check,
            shape,
        })
    }

    /// Whether it breaks no rule by not being there.
    fn may_be_absent(&self, compiled: &Compiled) -> bool {
        let zeros_are_good = || match &self.shape {
            Shape::Explicit => true,
            Shape::List(sizes) => sizes.least == 0,
            Shape::Implicit if self.wire_type == LEN => self.check.keeps(Raw::Bytes(&[])),
            Shape::Implicit => self.check.keeps(Raw::Number(0)),
        };
        !compiled.rules.required()
            && (compiled.rules.ignore() != Ignore::Unspecified || zeros_are_good())
    }
}

impl Sizes {
    fn of(rules: &RepeatedRules) -> Self {
        Self {
            least: rules.min_items(),
            most: rules.max_items.unwrap_or(u64::MAX),
            unique: rules.unique(),
        }
    }
}

fn wire_type(kind: &Kind) -> u32 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => FIXED32,
        Kind::String | Kind::Bytes | Kind::Message(_) => LEN,
        _ => VARINT,
    }
}

#[cfg(test)]
mod tests;

//! The rules that a contract gives its messages, read from the options of their fields.

use std::collections::HashMap;

use contracts::buf::validate::{EnumRules, FieldRules, Ignore, OneofRules, field_rules::Type};
use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, OneofDescriptor,
};
use regex::Regex;

use super::well_known::Bound;

/// The rules of every message of a pool.
pub(super) struct Rules(HashMap<String, MessageRules>);

/// The rules of one message, compiled.
#[derive(Default)]
pub(super) struct MessageRules {
    /// Fields that something is asked of.
    pub(super) fields: Vec<(FieldDescriptor, Compiled)>,
    /// Oneofs of which a field must be set.
    pub(super) oneofs: Vec<OneofDescriptor>,
    /// The bound of a well-known type, which has no rules inside.
    pub(super) bound: Option<Bound>,
}

/// The rules of one field; texts and messages without rules of their own are here for what holds for every text.
#[derive(Default)]
pub(super) struct Compiled {
    pub(super) rules: FieldRules,
    pub(super) pattern: Option<Regex>,
    named_values: Option<EnumDescriptor>,
    pub(super) items: Option<Box<Compiled>>,
}

impl Rules {
    /// Reads the rules of every message of the pool.
    pub(super) fn of(pool: &DescriptorPool) -> Self {
        let reader = Reader {
            field: pool.get_extension_by_name("buf.validate.field"),
            oneof: pool.get_extension_by_name("buf.validate.oneof"),
        };
        let mut patterns = Patterns::default();
        let rules = pool.all_messages().map(|message| {
            let rules = reader.message(&message, &mut patterns);
            (message.full_name().to_owned(), rules)
        });
        Self(rules.collect())
    }

    /// The rules of the message with this full name.
    pub(super) fn get(&self, message: &str) -> Option<&MessageRules> {
        self.0.get(message)
    }
}

/// Expressions are large once compiled, and many fields have the same.
#[derive(Default)]
struct Patterns(HashMap<String, Regex>);

impl Patterns {
    fn get(&mut self, form: &str) -> Regex {
        let compile = || Regex::new(form).expect("checked by the contract's tests");
        let pattern = self.0.entry(form.to_owned()).or_insert_with(compile);
        pattern.clone()
    }
}

/// Reads options; a pool without them has no rules.
struct Reader {
    field: Option<ExtensionDescriptor>,
    oneof: Option<ExtensionDescriptor>,
}

impl Reader {
    fn message(&self, message: &MessageDescriptor, patterns: &mut Patterns) -> MessageRules {
        let fields = message.fields().filter_map(|field| {
            let rules = option(&field.options(), self.field.as_ref());
            // Whatever has no rules of its own may hold texts still.
            let counts = rules.is_some() || matches!(field.kind(), Kind::Message(_) | Kind::String);
            let compile = || Compiled::of(rules.unwrap_or_default(), &field.kind(), patterns);
            counts.then(compile).map(|rules| (field, rules))
        });
        let oneofs = message.oneofs().filter(|oneof| {
            let rules: Option<OneofRules> = option(&oneof.options(), self.oneof.as_ref());
            !oneof.is_synthetic() && rules.is_some_and(|rules| rules.required())
        });
        MessageRules {
            fields: fields.collect(),
            oneofs: oneofs.collect(),
            bound: Bound::of(message.full_name()),
        }
    }
}

/// The value of an option, where it is set.
fn option<M: prost::Message + Default>(
    options: &DynamicMessage,
    extension: Option<&ExtensionDescriptor>,
) -> Option<M> {
    let extension = extension.filter(|extension| options.has_extension(extension))?;
    let value = options.get_extension(extension);
    value.as_message()?.transcode_to().ok()
}

impl Compiled {
    fn of(rules: FieldRules, kind: &Kind, patterns: &mut Patterns) -> Self {
        let (mut pattern, mut named_values, mut items) = (None, None, None);
        match &rules.r#type {
            Some(Type::String(text)) => {
                pattern = text.pattern.as_deref().map(|form| patterns.get(form));
            }
            Some(Type::Enum(EnumRules {
                defined_only: Some(true),
            })) => named_values = kind.as_enum().cloned(),
            Some(Type::Repeated(list)) => {
                let compile = |rules: Box<FieldRules>| Self::of(*rules, kind, patterns);
                items = list.items.clone().map(compile).map(Box::new);
            }
            _ => {}
        }
        Self {
            rules,
            pattern,
            named_values,
            items,
        }
    }

    /// Whether a field that is not set is left alone.
    pub(super) fn skips_unset(&self, field: &FieldDescriptor) -> bool {
        field.supports_presence() || self.rules.ignore() == Ignore::IfZeroValue
    }

    /// Whether only named values are allowed and this is none.
    pub(super) fn lacks_value(&self, number: i32) -> bool {
        self.named_values
            .as_ref()
            .is_some_and(|values| values.get_value(number).is_none())
    }
}

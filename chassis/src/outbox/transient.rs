//! What an event says only for a while: fields that the contract calls transient.

use std::{collections::HashMap, sync::LazyLock};

use contracts::DESCRIPTOR_POOL;
use prost_reflect::{FieldDescriptor, ReflectMessage, Value, prost::Message as _};

/// An encoded event in two parts. One after the other they are the whole message, as protobuf has it.
pub(super) struct Parts {
    /// All but the transient fields.
    pub(super) lasting: Vec<u8>,
    /// The transient fields; `None` where none is set.
    pub(super) transient: Option<Vec<u8>>,
}

/// Encodes an event in its two parts.
pub(super) fn split<M: ReflectMessage>(event: &M) -> Parts {
    let descriptor = event.descriptor();
    let Some(fields) = TRANSIENT.get(descriptor.full_name()) else {
        return Parts {
            lasting: event.encode_to_vec(),
            transient: None,
        };
    };
    let mut lasting = event.transcode_to_dynamic();
    let mut transient = prost_reflect::DynamicMessage::new(descriptor);
    for field in fields {
        if lasting.has_field(field) {
            transient.set_field(field, lasting.get_field(field).into_owned());
            lasting.clear_field(field);
        }
    }
    let transient = transient.encode_to_vec();
    Parts {
        lasting: lasting.encode_to_vec(),
        transient: (!transient.is_empty()).then_some(transient),
    }
}

/// The transient fields of every message that has some.
static TRANSIENT: LazyLock<HashMap<String, Vec<FieldDescriptor>>> = LazyLock::new(|| {
    let Some(option) = DESCRIPTOR_POOL.get_extension_by_name("caravan.options.v1.transient") else {
        return HashMap::new();
    };
    let is_transient =
        |field: &FieldDescriptor| *field.options().get_extension(&option) == Value::Bool(true);
    DESCRIPTOR_POOL
        .all_messages()
        .filter_map(|message| {
            let fields: Vec<_> = message.fields().filter(is_transient).collect();
            (!fields.is_empty()).then(|| (message.full_name().to_owned(), fields))
        })
        .collect()
});

#[cfg(test)]
mod tests {
    use contracts::caravan::ordering::v1::{OrderLine, OrderPlaced};

    use super::*;

    #[test]
    fn both_parts_one_after_the_other_are_the_event() {
        let event = OrderPlaced {
            order_id: "o-1".into(),
            lines: vec![OrderLine {
                sku: "mug".into(),
                ..Default::default()
            }],
            payment_method: "pm_card_visa".into(),
            ..Default::default()
        };
        let Parts { lasting, transient } = split(&event);
        let kept = OrderPlaced::decode(&*lasting).expect("a message");
        let without = OrderPlaced {
            payment_method: String::new(),
            ..event.clone()
        };
        assert_eq!(kept, without);
        let whole = [lasting, transient.expect("a payment method")].concat();
        assert_eq!(OrderPlaced::decode(&*whole).expect("a message"), event);
        assert!(split(&without).transient.is_none());
    }
}

//! Examples that the contract carries.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};
use serde_json::Value;

const MESSAGE: &str = "caravan.options.v1.message_example";
const FIELD: &str = "caravan.options.v1.example";

/// The example of a message; `None` where there is none or it is no JSON.
pub(super) fn of_message(message: &MessageDescriptor) -> Option<Value> {
    read(&message.options(), message.parent_pool(), MESSAGE)
}

/// The example of a field's value.
pub(super) fn of_field(field: &FieldDescriptor) -> Option<Value> {
    read(
        &field.options(),
        field.parent_message().parent_pool(),
        FIELD,
    )
}

fn read(
    options: &DynamicMessage,
    pool: &prost_reflect::DescriptorPool,
    name: &str,
) -> Option<Value> {
    let extension = pool.get_extension_by_name(name)?;
    let text = options.get_extension(&extension);
    serde_json::from_str(text.as_str()?).ok()
}

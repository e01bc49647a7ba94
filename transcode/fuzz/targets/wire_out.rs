//! Any bytes as a message: refused or JSON, the same that prost-reflect writes.
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use prost_reflect::{DynamicMessage, SerializeOptions};
use transcode::Printer;

fuzz_target!(|wire: &[u8]| {
    let schema = support::API.schema();
    let id = schema.message_id("test.v1.All").expect("a message");
    let mut out = Vec::new();
    if Printer::default()
        .message(schema, id, wire, &mut out)
        .is_err()
    {
        return;
    }
    let ours = serde_json::from_slice(&out).expect("what is printed is JSON");
    let descriptor = support::POOL
        .get_message_by_name("test.v1.All")
        .expect("a message");
    let Ok(message) = DynamicMessage::decode(descriptor, wire) else {
        return;
    };
    let options = SerializeOptions::new().skip_default_fields(false);
    let theirs = message.serialize_with_options(serde_json::value::Serializer, &options);
    if let Ok(theirs) = theirs {
        assert!(support::same(&ours, &theirs), "{ours}\n{theirs}");
    }
});

//! Any bytes as JSON: refused or a message, the same one that prost-reflect reads.
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use prost_reflect::{DeserializeOptions, DynamicMessage, ReflectMessage as _};
use transcode::{Encoder, Printer};

fuzz_target!(|json: &[u8]| {
    let schema = support::API.schema();
    let id = schema.message_id("test.v1.All").expect("a message");
    let descriptor = support::POOL
        .get_message_by_name("test.v1.All")
        .expect("a message");

    let mut lenient = Vec::new();
    let _ = Encoder::lenient().message(schema, id, json, &mut lenient);

    let mut wire = Vec::new();
    if let Err(error) = Encoder::default().message(schema, id, json, &mut wire) {
        let _ = error.to_string();
        return;
    }
    // A field's overhead on the wire is smaller than its name in JSON; only Any repeats a name, once.
    assert!(
        wire.len() <= 16 + 4 * json.len(),
        "{} from {}",
        wire.len(),
        json.len()
    );
    let ours =
        DynamicMessage::decode(descriptor.clone(), &*wire).expect("what is written is a message");
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let options = DeserializeOptions::new();
    let theirs = DynamicMessage::deserialize_with_options(descriptor, &mut deserializer, &options);
    if let Ok(theirs) = theirs {
        assert!(support::equal(&ours, &theirs), "{ours}\n{theirs}");
    }
    // Printing what was read and reading it again changes nothing.
    let mut printed = Vec::new();
    if Printer::default()
        .message(schema, id, &wire, &mut printed)
        .is_ok()
    {
        let mut again = Vec::new();
        let read = Encoder::default().message(schema, id, &printed, &mut again);
        read.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&printed)));
        let again = DynamicMessage::decode(ours.descriptor(), &*again).expect("a message");
        assert!(support::equal(&ours, &again), "{ours}\n{again}");
    }
});

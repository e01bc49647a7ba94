//! Random messages of the real contracts and of the test contract: what is printed and read agrees with prost-reflect.

mod support;

use proptest::{prelude::*, test_runner::Config};
use prost_reflect::{DescriptorPool, DynamicMessage, Syntax};
use support::random::{Choices, agrees};
use transcode::{Encoder, Printer, Schema};

fn of_pool(schema: &Schema, pool: &DescriptorPool, which: usize, bytes: &[u8]) {
    let messages: Vec<_> = pool
        .all_messages()
        .filter(|message| {
            !message.is_map_entry()
                && !message.full_name().starts_with("google.protobuf.")
                && message.parent_file().syntax() == Syntax::Proto3
        })
        .collect();
    let descriptor = &messages[which % messages.len()];
    agrees(schema, descriptor, &mut Choices(bytes));
}

fn cases() -> Config {
    Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    }
}

#[test]
fn messages_of_the_real_contracts_agree() {
    let pool = &*contracts::DESCRIPTOR_POOL;
    let schema = Schema::compile(pool);
    proptest!(cases(), |(which: usize, bytes in proptest::collection::vec(any::<u8>(), 0..600))| {
        of_pool(&schema, pool, which, &bytes);
    });
}

#[test]
fn messages_of_the_test_contract_agree() {
    let pool = &*support::POOL;
    let schema = Schema::compile(pool);
    proptest!(cases(), |(which: usize, bytes in proptest::collection::vec(any::<u8>(), 0..600))| {
        of_pool(&schema, pool, which, &bytes);
    });
}

#[test]
fn any_bytes_are_json_or_an_error() {
    let id = support::API
        .schema()
        .message_id("test.v1.All")
        .expect("a message");
    proptest!(cases(), |(bytes in proptest::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}\",:a-z0-9.eE\\\\ -]{0,60}")| {
        let mut out = Vec::new();
        if Printer::default().message(support::API.schema(), id, &bytes, &mut out).is_ok() {
            serde_json::from_slice::<serde_json::Value>(&out).expect("what is printed is JSON");
        }
        out.clear();
        let _ = Encoder::lenient().message(support::API.schema(), id, &bytes, &mut out);
        out.clear();
        if Encoder::lenient().message(support::API.schema(), id, json.as_bytes(), &mut out).is_ok() {
            serde_json::from_str::<serde_json::Value>(&json).expect("what is taken is JSON");
            let descriptor = support::POOL.get_message_by_name("test.v1.All").expect("a message");
            DynamicMessage::decode(descriptor, &*out).expect("what is written is a message");
        }
    });
}

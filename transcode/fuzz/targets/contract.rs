//! Any contract and any message of it: printed and read as prost-reflect does.
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use libfuzzer_sys::fuzz_target;
use support::{contract, random};
use transcode::Schema;

fuzz_target!(|bytes: &[u8]| {
    let (shape, content) = bytes.split_at(bytes.len() / 3);
    let pool = contract::pool(&mut random::Choices(shape));
    let schema = Schema::compile(&pool);
    let mut choices = random::Choices(content);
    for message in pool
        .get_file_by_name("random.proto")
        .expect("made")
        .messages()
    {
        random::agrees(&schema, &message, &mut choices);
    }
});

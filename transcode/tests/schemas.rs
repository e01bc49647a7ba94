//! Random messages of random contracts, proto2 and proto3: what is printed and read agrees with prost-reflect.

mod support;

use proptest::{prelude::*, test_runner::Config};
use support::{
    contract::pool,
    random::{Choices, agrees},
};
use transcode::Schema;

#[test]
fn messages_of_random_contracts_agree() {
    let cases = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let bytes = || proptest::collection::vec(any::<u8>(), 0..800);
    proptest!(cases, |(shape in bytes(), content in bytes())| {
        let pool = pool(&mut Choices(&shape));
        let schema = Schema::compile(&pool);
        let mut choices = Choices(&content);
        for message in pool.get_file_by_name("random.proto").expect("made").messages() {
            agrees(&schema, &message, &mut choices);
        }
    });
}

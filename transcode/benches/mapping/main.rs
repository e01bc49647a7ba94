//! JSON to wire bytes and back, in MB of JSON a second: these tables, prost-reflect, and static types
//! (prost and serde, as pbjson would generate them).
//!
//! `cargo bench -p transcode`; all three start from and end in bytes, with their buffers reused where they allow it.

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, SerializeOptions};
use serde::{Serialize, de::DeserializeOwned};
use transcode::{Encoder, Printer, Schema};

mod messages;

/// A message and its name in the contract.
struct Case<M> {
    label: &'static str,
    message: M,
    name: &'static str,
}

fn out<M: prost::Message + Default + Serialize>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    schema: &Schema,
    pool: &prost_reflect::DescriptorPool,
    case: &Case<M>,
) {
    let wire = case.message.encode_to_vec();
    let json = serde_json::to_vec(&case.message).expect("JSON");
    group.throughput(Throughput::Bytes(json.len() as u64));
    let id = schema.message_id(case.name).expect("a message");
    let (mut printer, mut buffer) = (Printer::default(), Vec::new());
    printer
        .message(schema, id, &wire, &mut buffer)
        .expect("JSON");
    let value = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).expect("JSON");
    assert_eq!(value(&buffer).to_string(), value(&json).to_string());
    group.bench_function(format!("{}/transcode", case.label), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            printer
                .message(schema, id, &wire, &mut buffer)
                .expect("JSON");
        });
    });
    let descriptor = pool.get_message_by_name(case.name).expect("a message");
    let options = SerializeOptions::new().skip_default_fields(false);
    group.bench_function(format!("{}/prost-reflect", case.label), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            let message = DynamicMessage::decode(descriptor.clone(), &*wire).expect("a message");
            let mut serializer = serde_json::Serializer::new(&mut buffer);
            message
                .serialize_with_options(&mut serializer, &options)
                .expect("JSON");
        });
    });
    group.bench_function(format!("{}/static", case.label), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            let message = M::decode(&*wire).expect("a message");
            serde_json::to_writer(&mut buffer, &message).expect("JSON");
        });
    });
}

fn into<M: prost::Message + Default + Serialize + DeserializeOwned>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    schema: &Schema,
    pool: &prost_reflect::DescriptorPool,
    case: &Case<M>,
) {
    let json = serde_json::to_vec(&case.message).expect("JSON");
    group.throughput(Throughput::Bytes(json.len() as u64));
    let id = schema.message_id(case.name).expect("a message");
    let (mut encoder, mut buffer) = (Encoder::default(), Vec::new());
    encoder
        .message(schema, id, &json, &mut buffer)
        .expect("a message");
    assert_eq!(buffer, case.message.encode_to_vec());
    group.bench_function(format!("{}/transcode", case.label), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            encoder
                .message(schema, id, &json, &mut buffer)
                .expect("a message");
        });
    });
    let descriptor = pool.get_message_by_name(case.name).expect("a message");
    let options = DeserializeOptions::new();
    group.bench_function(format!("{}/prost-reflect", case.label), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            let mut deserializer = serde_json::Deserializer::from_slice(&json);
            let message = DynamicMessage::deserialize_with_options(
                descriptor.clone(),
                &mut deserializer,
                &options,
            );
            message
                .expect("a message")
                .encode(&mut buffer)
                .expect("room");
        });
    });
    group.bench_function(format!("{}/static", case.label), |bencher| {
        bencher.iter(|| {
            buffer.clear();
            let message: M = serde_json::from_slice(&json).expect("a message");
            message.encode(&mut buffer).expect("room");
        });
    });
}

fn main() {
    let pool = messages::pool();
    let schema = Schema::compile(&pool);
    let orders = |label, size| Case {
        label,
        message: messages::orders(size),
        name: "bench.v1.Orders",
    };
    let post = Case {
        label: "700B",
        message: messages::order(1, 4),
        name: "bench.v1.Order",
    };
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("json_out");
    for (label, size) in [("1KiB", 1 << 10), ("1MiB", 1 << 20)] {
        out(&mut group, &schema, &pool, &orders(label, size));
    }
    group.finish();
    let mut group = criterion.benchmark_group("json_in");
    into(&mut group, &schema, &pool, &post);
    into(&mut group, &schema, &pool, &orders("1MiB", 1 << 20));
    group.finish();
    criterion.final_summary();
}

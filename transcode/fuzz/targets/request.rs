//! Any request: no route, refused, or a message. Lines are verb, URI, two headers and body.
#![no_main]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use prost_reflect::DynamicMessage;
use transcode::{Api, Encoder, HeaderField, Input};

static API: LazyLock<Api> = LazyLock::new(|| {
    let headers = |header: &str, field: &str| HeaderField {
        header: header.to_owned(),
        field: field.to_owned(),
    };
    Api::compile_with(&support::POOL, |method| match method.name() {
        "Get" => vec![headers("x-tags", "tags"), headers("x-box", "box")],
        "Create" => vec![headers("x-theme", "shelf.theme")],
        _ => Vec::new(),
    })
    .expect("the test contract")
});

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(4, '\n');
    let [verb, uri, header, body] = std::array::from_fn(|_| lines.next().unwrap_or_default());
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let Ok(found) = API.find(verb, path) else {
        return;
    };
    let headers = [("x-tags", header), ("x-box", header), ("x-theme", header)];
    let input = Input {
        query,
        body: body.as_bytes(),
        content_type: header,
        headers: if header.is_empty() { &[] } else { &headers },
    };
    for mut encoder in [Encoder::default(), Encoder::lenient()] {
        let mut wire = Vec::new();
        match found.encode(&mut encoder, &input, &mut wire) {
            Ok(()) => {
                let descriptor = found.method().descriptor.input();
                DynamicMessage::decode(descriptor, &*wire).expect("a message");
            }
            Err(error) => drop(error.to_string()),
        }
    }
});

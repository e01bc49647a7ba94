//! The document and the page of the real contract.

use std::sync::LazyLock;

use contracts::{DESCRIPTOR_POOL, policy};
use prost_reflect::MethodDescriptor;
use serde_json::Value;
use transcode::{Api, Encoder, HeaderField};

static API: LazyLock<Api> = LazyLock::new(|| {
    let headers = |method: &MethodDescriptor| {
        let fields = policy::of_method(method).rest.header_fields.into_iter();
        let field = |of: contracts::caravan::options::v1::HeaderField| HeaderField {
            header: of.header,
            field: of.field,
        };
        fields.map(field).collect()
    };
    Api::compile_with(&DESCRIPTOR_POOL, headers).expect("the contract")
});
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(&DESCRIPTOR_POOL, &API));

fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                visit(name, member);
                walk(member, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let mut count = 0;
    walk(&DOCUMENT, &mut |name, value| {
        if let (true, Some(reference)) = (name == "$ref", value.as_str()) {
            let pointer = reference.strip_prefix('#').expect("all in one document");
            assert!(DOCUMENT.pointer(pointer).is_some(), "{reference}");
            count += 1;
        }
    });
    assert!(count > 100, "{count} references");
}

#[test]
fn every_route_is_an_operation_with_an_id_of_its_own() {
    let mut ids = Vec::new();
    walk(&DOCUMENT["paths"], &mut |name, value| {
        // Links name operations again.
        if let (true, Some(id)) = (name == "operationId", value.as_str()) {
            ids.push(id.to_owned());
        }
    });
    let routes = API.bindings().len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), routes);
    let page = openapi::page(&DOCUMENT);
    for id in ids {
        assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
    }
    for outside in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "the page works offline: {outside}");
    }
}

#[test]
fn examples_are_messages_of_the_contract() {
    let option = "caravan.options.v1.message_example";
    let option = DESCRIPTOR_POOL
        .get_extension_by_name(option)
        .expect("an option");
    let mut count = 0;
    for message in DESCRIPTOR_POOL.all_messages() {
        let options = message.options();
        if !options.has_extension(&option) {
            continue;
        }
        let example = options.get_extension(&option);
        let example = example.as_str().expect("text");
        let id = API.schema().message_id(message.full_name()).expect("known");
        Encoder::default()
            .message(API.schema(), id, example.as_bytes(), &mut Vec::new())
            .unwrap_or_else(|error| panic!("{}: {error}", message.full_name()));
        count += 1;
    }
    assert!(count > 5, "{count} examples");
}

#[test]
fn what_the_options_say_is_in_the_document() {
    let place = &DOCUMENT["paths"]["/v1/orders"]["post"];
    let has = |name: &str| {
        let parameters = place["parameters"].as_array().expect("parameters");
        parameters.iter().any(|parameter| parameter["name"] == name)
    };
    assert!(has("Idempotency-Key") && has("Prefer"), "{place}");
    assert_eq!(place["security"][0]["bearer"], serde_json::json!([]));
    let created = &place["responses"]["201"];
    assert!(created["headers"]["Location"].is_object(), "{created}");
    assert!(place["responses"]["401"]["$ref"].is_string(), "{place}");
    assert_eq!(place["requestBody"]["required"], true);

    let list = &DOCUMENT["paths"]["/v1/orders"]["get"]["responses"]["200"];
    let link = &list["links"]["nextPage"];
    assert_eq!(link["operationId"], "OrderingService_ListOrders");
    assert_eq!(
        link["parameters"]["pageToken"],
        "$response.body#/nextPageToken"
    );

    let watch = &DOCUMENT["paths"]["/v1/orders/{orderId}:watch"]["get"]["responses"]["200"];
    assert_eq!(watch["content"].as_object().expect("media").len(), 3);
    let public = &DOCUMENT["paths"]["/v1/products"]["get"]["security"];
    assert_eq!(*public, serde_json::json!([]));
    let order = &DOCUMENT["components"]["schemas"]["caravan.ordering.v1.PlaceOrderRequest"];
    assert_eq!(order["examples"][0]["lines"][0]["quantity"], 2);
}

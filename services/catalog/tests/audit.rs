//! What admins do to products is remembered with what it changes, and what changes nothing is not.

mod world;

use alone::{Engine, on_both_engines, reason};
use contracts::caravan::{
    audit::v1::ActionRecorded,
    catalog::v1::{self as pb, catalog_service_client::CatalogServiceClient},
};
use tonic::{Code, Request};
use uuid::Uuid;

use world::{World, a_mug, eur};

on_both_engines!(
    what_changes_something_is_recorded_once,
    customers_and_refusals_leave_nothing,
);

/// Action, target and detail of the records, in their order.
fn told(records: &[ActionRecorded]) -> Vec<(&str, &str, &str)> {
    let told = records.iter().map(|record| {
        let ActionRecorded {
            action,
            target,
            detail,
            ..
        } = record;
        (action.as_str(), target.as_str(), detail.as_str())
    });
    told.collect()
}

async fn what_changes_something_is_recorded_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let admin = Uuid::now_v7();
    let mut client = CatalogServiceClient::new(world.service.user(admin, &["customer", "admin"]));
    let create = || {
        let mut request = Request::new(a_mug("mug-1"));
        let metadata = request.metadata_mut();
        metadata.insert("idempotency-key", "once".parse().expect("ASCII"));
        metadata.insert("x-request-id", "the-request".parse().expect("ASCII"));
        request
    };
    let first = client.create_product(create()).await.expect("new");
    let mug = first.into_inner().product.expect("always there");
    // The same once more answers what was stored.
    client.create_product(create()).await.expect("known");
    let refusal = client.create_product(a_mug("mug-1")).await;
    assert_eq!(refusal.expect_err("taken").code(), Code::AlreadyExists);
    let update = |price| pb::UpdateProductRequest {
        product: Some(pb::Product {
            product_id: mug.product_id.clone(),
            price: Some(eur(price)),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["price".into()],
        }),
    };
    client.update_product(update(700)).await.expect("on sale");
    client.update_product(update(700)).await.expect("no change");
    for _ in 0..2 {
        let request = pb::RetireProductRequest {
            product_id: mug.product_id.clone(),
        };
        client.retire_product(request).await.expect("there");
    }

    let id = mug.product_id.as_str();
    let records = world.service.published::<ActionRecorded>(3).await;
    assert_eq!(
        told(&records),
        [
            (
                "PRODUCT_CREATED",
                id,
                r#"sku=mug-1 price={"currencyCode":"EUR","minorUnits":"950"}"#
            ),
            (
                "PRODUCT_UPDATED",
                id,
                r#"update_mask=price price={"currencyCode":"EUR","minorUnits":"700"}"#
            ),
            ("PRODUCT_RETIRED", id, ""),
        ]
    );
    let by = format!("user:{admin}");
    assert!(
        records
            .iter()
            .all(|record| record.actor == by && record.service == "catalog")
    );
    assert_eq!(records[0].request_id, "the-request");
}

async fn customers_and_refusals_leave_nothing(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mut customer = CatalogServiceClient::new(world.service.customer());
    let refusal = customer.create_product(a_mug("mug-1")).await;
    assert_eq!(
        refusal.expect_err("no admin").code(),
        Code::PermissionDenied
    );
    let worthless = pb::CreateProductRequest {
        price: Some(eur(0)),
        ..a_mug("mug-2")
    };
    world.try_create(worthless).await.expect_err("no price");
    let unknown = world.retire(&Uuid::now_v7().to_string()).await;
    assert_eq!(reason(&unknown.expect_err("unknown")), "PRODUCT_NOT_FOUND");
    // What comes behind all of that is the first one.
    world.create("mug-3").await;
    let records = world.service.published::<ActionRecorded>(1).await;
    assert_eq!(told(&records)[0].0, "PRODUCT_CREATED");
    assert!(told(&records)[0].2.starts_with("sku=mug-3"), "{records:?}");
}

//! Products from their first day to their last.

mod world;

use alone::{Engine, on_both_engines, reason, violated_fields};
use contracts::caravan::catalog::v1::{
    self as pb, ProductState, catalog_service_client::CatalogServiceClient,
};
use futures::future::join_all;
use tonic::{Code, Request};
use uuid::Uuid;

use world::{World, a_mug, eur};

on_both_engines!(
    a_new_product_is_on_sale,
    a_sku_is_taken_once,
    a_key_creates_once,
    a_retired_product_can_be_read_but_not_bought,
    the_world_hears_of_it,
    bad_input_is_named_and_nothing_is_stored,
    only_admins_change_the_catalog,
    a_product_survives_a_crash,
);

async fn a_new_product_is_on_sale(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mug = world.create("mug-1").await;
    assert_eq!(
        Uuid::parse_str(&mug.product_id)
            .expect("a UUID")
            .get_version_num(),
        7
    );
    assert_eq!(
        (mug.sku.as_str(), mug.name.as_str(), mug.price.clone()),
        ("mug-1", "Mug", Some(eur(950)))
    );
    assert_eq!(mug.state(), ProductState::OnSale);
    assert_eq!(mug.create_time, mug.update_time);
    assert_eq!(
        world.get(&mug.product_id).await.expect("there"),
        mug,
        "read back as it was told"
    );
    let unknown = world
        .get(&Uuid::now_v7().to_string())
        .await
        .expect_err("unknown");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "PRODUCT_NOT_FOUND")
    );
}

async fn a_sku_is_taken_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let answers = join_all((0..16).map(|_| world.try_create(a_mug("mug-1")))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refusal in refused {
        let refusal = refusal.expect_err("refused");
        assert_eq!(
            (refusal.code(), reason(&refusal).as_str()),
            (Code::AlreadyExists, "SKU_TAKEN")
        );
    }
    let mug = made.into_iter().next().expect("one").expect("made");
    world.retire(&mug.product_id).await.expect("on sale");
    let again = world
        .try_create(a_mug("mug-1"))
        .await
        .expect_err("orders still name it");
    assert_eq!(reason(&again), "SKU_TAKEN");
}

async fn a_key_creates_once(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mut admin = world.admin.clone();
    let with_key = |message| {
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert("idempotency-key", "key-1".parse().expect("ASCII"));
        request
    };
    let first = admin
        .create_product(with_key(a_mug("mug-1")))
        .await
        .expect("made")
        .into_inner();
    let again = admin
        .create_product(with_key(a_mug("mug-1")))
        .await
        .expect("stored")
        .into_inner();
    assert_eq!(again, first);
    let other = admin
        .create_product(with_key(a_mug("mug-2")))
        .await
        .expect_err("another product");
    assert_eq!(reason(&other), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.page(0, "").await.expect("listed").0, ["mug-1"]);
}

async fn a_retired_product_can_be_read_but_not_bought(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let (mug, cup) = (world.create("mug-1").await, world.create("cup-1").await);
    let retired = world.retire(&mug.product_id).await.expect("on sale");
    assert_eq!(retired.state(), ProductState::Retired);
    assert_eq!(
        world.retire(&mug.product_id).await.expect("repeated"),
        retired,
        "changes nothing"
    );
    assert_eq!(
        world.get(&mug.product_id).await.expect("still readable"),
        retired
    );
    assert_eq!(world.page(0, "").await.expect("listed").0, ["cup-1"]);
    let skus = ["mug-1", "cup-1", "cup-1", "no-such"]
        .map(Into::into)
        .to_vec();
    let batch = world
        .anybody
        .clone()
        .batch_get_products(pb::BatchGetProductsRequest { skus })
        .await;
    assert_eq!(batch.expect("answered").into_inner().products, [cup]);
    let change = pb::Product {
        name: "Cup".into(),
        ..mug
    };
    let refusal = world.update(change, None).await.expect_err("retired");
    assert_eq!(
        (refusal.code(), reason(&refusal).as_str()),
        (Code::FailedPrecondition, "PRODUCT_RETIRED")
    );
}

async fn the_world_hears_of_it(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mug = world.create("mug-1").await;
    let change = pb::Product {
        price: Some(eur(990)),
        ..mug.clone()
    };
    world
        .update(change.clone(), Some(&["price"]))
        .await
        .expect("on sale");
    world
        .update(change, Some(&["price"]))
        .await
        .expect("no change");
    world.retire(&mug.product_id).await.expect("on sale");
    let (product_id, sku, name) = (mug.product_id, mug.sku, mug.name);
    let retired = pb::ProductRetired {
        product_id: product_id.clone(),
        sku: sku.clone(),
    };
    world.service.publishes(vec![retired]).await;
    let updated = pb::ProductUpdated {
        product_id: product_id.clone(),
        sku: sku.clone(),
        name: name.clone(),
        price: Some(eur(990)),
    };
    world.service.publishes(vec![updated]).await;
    world
        .service
        .publishes(vec![pb::ProductCreated {
            product_id,
            sku,
            name,
            price: mug.price,
        }])
        .await;
}

async fn bad_input_is_named_and_nothing_is_stored(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let good = a_mug("mug-1");
    for (request, field) in [
        (
            pb::CreateProductRequest {
                sku: "a b".into(),
                ..good.clone()
            },
            "sku",
        ),
        (
            pb::CreateProductRequest {
                sku: String::new(),
                ..good.clone()
            },
            "sku",
        ),
        (
            pb::CreateProductRequest {
                name: String::new(),
                ..good.clone()
            },
            "name",
        ),
        (
            pb::CreateProductRequest {
                name: " ".into(),
                ..good.clone()
            },
            "name",
        ),
        (
            pb::CreateProductRequest {
                name: "x".repeat(201),
                ..good.clone()
            },
            "name",
        ),
        (
            pb::CreateProductRequest {
                description: "x".repeat(4001),
                ..good.clone()
            },
            "description",
        ),
        (
            pb::CreateProductRequest {
                price: None,
                ..good.clone()
            },
            "price",
        ),
        (
            pb::CreateProductRequest {
                price: Some(eur(0)),
                ..good.clone()
            },
            "price.minorUnits",
        ),
        (
            pb::CreateProductRequest {
                price: Some(eur(-5)),
                ..good.clone()
            },
            "price.minorUnits",
        ),
        (
            pb::CreateProductRequest {
                price: Some(eur(100_000_001)),
                ..good.clone()
            },
            "price.minorUnits",
        ),
        (
            pb::CreateProductRequest {
                price: Some(contracts::caravan::common::v1::Money {
                    currency_code: "eur".into(),
                    minor_units: 1,
                }),
                ..good
            },
            "price.currencyCode",
        ),
    ] {
        let refusal = world.try_create(request).await.expect_err(field);
        assert_eq!(
            (refusal.code(), violated_fields(&refusal)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    assert_eq!(
        world.page(0, "").await.expect("listed"),
        (vec![], String::new())
    );
    let odd = world.get("42").await.expect_err("no id");
    assert_eq!(violated_fields(&odd), ["productId"]);
}

async fn only_admins_change_the_catalog(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let service = &world.service;
    for (client, code) in [
        (service.anonymous(), Code::Unauthenticated),
        (service.with_token("no.token.atall"), Code::Unauthenticated),
        (service.customer(), Code::PermissionDenied),
        (service.peer("ordering"), Code::PermissionDenied),
    ] {
        let refusal = CatalogServiceClient::new(client)
            .create_product(a_mug("mug-1"))
            .await
            .expect_err("not theirs");
        assert_eq!(refusal.code(), code, "{refusal}");
    }
    assert_eq!(world.page(0, "").await.expect("for everybody").0.len(), 0);
}

async fn a_product_survives_a_crash(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let mug = world.create("mug-1").await;
    world.service.crash_and_restart().await;
    world.anybody = CatalogServiceClient::new(world.service.anonymous());
    assert_eq!(world.get(&mug.product_id).await.expect("there"), mug);
    assert!(world.service.drain().await.success());
}

//! Changes: only what the mask names, and none that is lost.

mod world;

use alone::{Engine, on_both_engines, reason, violated_fields};
use contracts::caravan::catalog::v1 as pb;
use futures::future::join_all;
use tonic::Code;
use uuid::Uuid;

use world::{World, eur};

on_both_engines!(
    only_masked_fields_change,
    without_a_mask_the_filled_fields_change,
    what_cannot_be_changed_is_refused_by_name,
    concurrent_changes_lose_nothing,
);

async fn only_masked_fields_change(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mug = world.create("mug-1").await;
    let wish = pb::Product {
        name: "Cup".into(),
        description: String::new(),
        price: Some(eur(5)),
        ..mug.clone()
    };
    let changed = world
        .update(wish.clone(), Some(&["description"]))
        .await
        .expect("on sale");
    assert_eq!(
        (
            changed.name.as_str(),
            changed.description.as_str(),
            changed.price
        ),
        ("Mug", "", mug.price)
    );
    let changed = world
        .update(wish.clone(), Some(&["price.minor_units"]))
        .await
        .expect("on sale");
    assert_eq!(
        (changed.name.as_str(), changed.price),
        ("Mug", Some(eur(5)))
    );
    let changed = world.update(wish, Some(&["*"])).await.expect("on sale");
    assert_eq!(
        (changed.name.as_str(), changed.sku.as_str()),
        ("Cup", "mug-1")
    );
    assert_eq!(world.get(&mug.product_id).await.expect("there"), changed);
}

async fn without_a_mask_the_filled_fields_change(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mug = world.create("mug-1").await;
    let wish = pb::Product {
        product_id: mug.product_id.clone(),
        name: "Cup".into(),
        ..pb::Product::default()
    };
    let changed = world.update(wish, None).await.expect("on sale");
    assert_eq!(
        (changed.name.as_str(), &changed.description, &changed.price),
        ("Cup", &mug.description, &mug.price)
    );
}

async fn what_cannot_be_changed_is_refused_by_name(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mug = world.create("mug-1").await;
    let wish = pb::Product {
        name: "Cup".into(),
        sku: "cup-1".into(),
        ..mug.clone()
    };
    for path in ["sku", "state", "product_id", "colour", "price.cents", ""] {
        let refusal = world
            .update(wish.clone(), Some(&["name", path]))
            .await
            .expect_err(path);
        assert_eq!(
            (refusal.code(), violated_fields(&refusal)),
            (Code::InvalidArgument, vec!["updateMask".to_owned()])
        );
    }
    let empty = pb::Product {
        name: String::new(),
        ..mug.clone()
    };
    let refusal = world
        .update(empty, Some(&["name"]))
        .await
        .expect_err("no name");
    assert_eq!(violated_fields(&refusal), ["product.name"]);
    let free = pb::Product {
        price: Some(eur(0)),
        ..mug.clone()
    };
    let refusal = world
        .update(free, Some(&["price"]))
        .await
        .expect_err("no price");
    assert_eq!(violated_fields(&refusal), ["product.price.minorUnits"]);
    let odd = pb::Product {
        product_id: "42".into(),
        ..mug.clone()
    };
    let refusal = world.update(odd, Some(&["name"])).await.expect_err("no id");
    assert_eq!(violated_fields(&refusal), ["product.productId"]);
    let unknown = pb::Product {
        product_id: Uuid::now_v7().to_string(),
        ..mug.clone()
    };
    let refusal = world
        .update(unknown, Some(&["name"]))
        .await
        .expect_err("unknown");
    assert_eq!(reason(&refusal), "PRODUCT_NOT_FOUND");
    assert_eq!(world.get(&mug.product_id).await.expect("there"), mug);
}

async fn concurrent_changes_lose_nothing(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let mug = world.create("mug-1").await;
    let names = (0..16).map(|number| {
        let (world, wish) = (
            &world,
            pb::Product {
                name: format!("Mug {number}"),
                ..mug.clone()
            },
        );
        async move { world.update(wish, Some(&["name"])).await }
    });
    let prices = (1..=16).map(|price| {
        let (world, wish) = (
            &world,
            pb::Product {
                price: Some(eur(price)),
                ..mug.clone()
            },
        );
        async move { world.update(wish, Some(&["price"])).await }
    });
    let (names, prices) = futures::join!(join_all(names), join_all(prices));
    // Who lost a race is told to come again (ABORTED); who won has changed what it named and nothing else.
    for answer in names.iter().chain(&prices) {
        assert!(
            answer
                .as_ref()
                .err()
                .is_none_or(|refusal| refusal.code() == Code::Aborted),
            "{answer:?}"
        );
    }
    let won = |answers: &[Result<pb::Product, tonic::Status>]| {
        answers.iter().filter(|answer| answer.is_ok()).count()
    };
    let now = world.get(&mug.product_id).await.expect("there");
    assert_eq!(now.name != "Mug", won(&names) > 0);
    assert_eq!(now.price != mug.price, won(&prices) > 0);
    let told = world
        .service
        .published::<pb::ProductUpdated>(won(&names) + won(&prices))
        .await;
    let last = told.last().expect("somebody won");
    assert_eq!(
        (&last.name, &last.price),
        (&now.name, &now.price),
        "the last event says how it is"
    );
}

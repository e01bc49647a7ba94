//! Lists, a page at a time.

mod world;

use alone::{Engine, on_both_engines, violated_fields};
use tonic::Code;

use world::World;

on_both_engines!(
    pages_lead_through_the_whole_list,
    a_page_token_stays_good_while_the_list_changes,
    a_bad_token_or_size_is_named,
);

async fn pages_lead_through_the_whole_list(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let skus: Vec<_> = (0..25).map(|number| format!("mug-{number:02}")).collect();
    for sku in &skus {
        world.create(sku).await;
    }
    let (mut seen, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (page, next) = world.page(10, &token).await.expect("a page");
        seen.extend(page);
        pages += 1;
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(
        (seen, pages),
        (skus.clone(), 3),
        "newest last, none twice, none left out"
    );
    let (default, next) = world.page(0, "").await.expect("a page");
    assert_eq!((default.len(), next.is_empty()), (20, false));
    assert_eq!(
        world.page(25, "").await.expect("a page"),
        (skus, String::new()),
        "exactly full is the last"
    );
}

async fn a_page_token_stays_good_while_the_list_changes(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let first = world.create("mug-1").await;
    let second = world.create("mug-2").await;
    world.create("mug-3").await;
    let (page, token) = world.page(2, "").await.expect("a page");
    assert_eq!(page, ["mug-1", "mug-2"]);
    world.retire(&first.product_id).await.expect("on sale");
    world.retire(&second.product_id).await.expect("on sale");
    world.create("mug-4").await;
    assert_eq!(
        world.page(2, &token).await.expect("a page").0,
        ["mug-3", "mug-4"]
    );
}

async fn a_bad_token_or_size_is_named(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    for token in ["x", "AAAA", "not a token!", "1", "%"] {
        let refusal = world.page(0, token).await.expect_err(token);
        assert_eq!(
            (refusal.code(), violated_fields(&refusal)),
            (Code::InvalidArgument, vec!["pageToken".to_owned()])
        );
    }
    for size in [-1, 101] {
        let refusal = world.page(size, "").await.expect_err("a bad size");
        assert_eq!(
            (refusal.code(), violated_fields(&refusal)),
            (Code::InvalidArgument, vec!["pageSize".to_owned()])
        );
    }
}

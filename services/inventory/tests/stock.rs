//! Counting stock, reading it, and who may.

mod world;

use alone::{Engine, on_both_engines, reason, violated_fields};
use contracts::caravan::inventory::v1::{
    self as pb, inventory_service_client::InventoryServiceClient,
};
use tonic::Code;
use uuid::Uuid;

use world::{World, reserve};

on_both_engines!(
    a_count_is_read_back,
    a_count_stays_above_what_is_held,
    bad_input_is_named,
    only_those_who_may_do
);

async fn a_count_is_read_back(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let stock = world.set_stock("mug", 5).await.expect("set");
    assert_eq!(
        (
            stock.sku.as_str(),
            stock.on_hand,
            stock.reserved,
            stock.available
        ),
        ("mug", 5, 0, 5)
    );
    world.stock("cup", 0).await;
    let request = pb::BatchGetStockRequest {
        skus: ["mug", "no-such", "cup", "mug"].map(Into::into).to_vec(),
    };
    let batch = world
        .admin
        .clone()
        .batch_get_stock(request)
        .await
        .expect("answered")
        .into_inner();
    let skus: Vec<_> = batch
        .stocks
        .iter()
        .map(|stock| stock.sku.as_str())
        .collect();
    assert_eq!(skus, ["cup", "mug"]);
    let unknown = world
        .admin
        .clone()
        .get_stock(pb::GetStockRequest {
            sku: "no-such".into(),
        })
        .await;
    let unknown = unknown.expect_err("unknown");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "SKU_NOT_FOUND")
    );
    world.stock("mug", 5).await;
    world.stock("mug", 6).await;
    let adjusted = world.service.published::<pb::StockAdjusted>(3).await;
    assert_eq!(
        adjusted.len(),
        3,
        "the same count again is no news: {adjusted:?}"
    );
}

async fn a_count_stays_above_what_is_held(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    world
        .reserve(Uuid::now_v7(), &[("mug", 3)])
        .await
        .expect("enough");
    let below = world.set_stock("mug", 2).await.expect_err("three are held");
    assert_eq!(
        (below.code(), reason(&below).as_str()),
        (Code::FailedPrecondition, "BELOW_RESERVED")
    );
    world.stock("mug", 3).await;
    assert_eq!(world.counts("mug").await, (3, 3, 0));
    world
        .service
        .publishes(vec![pb::StockDepleted { sku: "mug".into() }])
        .await;
}

async fn bad_input_is_named(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    for (sku, on_hand, field) in [
        ("mug", -1, "onHand"),
        ("mug", 1_000_000_001, "onHand"),
        ("a b", 1, "sku"),
        ("", 1, "sku"),
    ] {
        let refusal = world.set_stock(sku, on_hand).await.expect_err("bad");
        assert_eq!(
            (refusal.code(), violated_fields(&refusal)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    let mut peer = world.peer.clone();
    let bad = |lines: &[(&str, i64)]| reserve(Uuid::now_v7(), lines);
    for (request, field) in [
        (bad(&[]), "lines"),
        (bad(&[("mug", 1), ("mug", 0)]), "lines[1].quantity"),
        (bad(&[("mug", i64::MAX)]), "lines[0].quantity"),
        (
            pb::ReserveStockRequest {
                order_id: "1".into(),
                ..bad(&[("mug", 1)])
            },
            "orderId",
        ),
    ] {
        let refusal = peer.reserve_stock(request).await.expect_err("bad");
        assert_eq!(
            (refusal.code(), violated_fields(&refusal)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
}

async fn only_those_who_may_do(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.stock("mug", 5).await;
    let service = &world.service;
    let set = pb::SetStockRequest {
        sku: "mug".into(),
        on_hand: 9,
    };
    for (client, code) in [
        (service.anonymous(), Code::Unauthenticated),
        (service.with_token("no.token.atall"), Code::Unauthenticated),
        (service.customer(), Code::PermissionDenied),
        (service.peer("ordering"), Code::PermissionDenied),
    ] {
        let refusal = InventoryServiceClient::new(client)
            .set_stock(set.clone())
            .await
            .expect_err("not theirs");
        assert_eq!(refusal.code(), code, "{refusal}");
    }
    let hold = reserve(Uuid::now_v7(), &[("mug", 1)]);
    for client in [service.customer(), service.admin()] {
        let refusal = InventoryServiceClient::new(client)
            .reserve_stock(hold.clone())
            .await
            .expect_err("not theirs");
        assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    }
    assert_eq!(world.counts("mug").await, (5, 0, 5));
    let public = pb::GetStockRequest { sku: "mug".into() };
    InventoryServiceClient::new(service.anonymous())
        .get_stock(public)
        .await
        .expect("for everybody");
}

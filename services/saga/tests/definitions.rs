//! Definitions: refused with their place, versioned, immutable.

mod world;

use std::sync::Arc;

use alone::{Engine, on_both_engines, reason, violated_fields};
use contracts::caravan::saga::v1 as pb;
use tokio::sync::Notify;
use tonic::Code;

use world::{DEFINITION, Fate, World};

on_both_engines!(
    the_same_content_keeps_its_version,
    a_running_saga_stays_on_its_version,
    a_bad_definition_is_refused_with_its_place,
    only_operators_and_services_are_let_in,
    lists_come_in_pages,
);

async fn the_same_content_keeps_its_version(engine: Engine) {
    let Some(mut world) = World::start(engine).await else {
        return;
    };
    let changed = DEFINITION.replace("timeout: 10s", "timeout: 9s");
    assert_eq!(world.register(DEFINITION).await.expect("fine"), 1);
    assert_eq!(world.register(DEFINITION).await.expect("fine"), 1);
    assert_eq!(world.register(&changed).await.expect("fine"), 2);
    assert_eq!(world.register(DEFINITION).await.expect("fine"), 1);
    world.crash().await;
    assert_eq!(world.register(&changed).await.expect("fine"), 2);

    let get = async |version| {
        let request = pb::GetDefinitionRequest {
            name: "test".into(),
            version,
        };
        let found = world
            .peer
            .clone()
            .get_definition(request)
            .await
            .expect("there")
            .into_inner();
        (
            found.version,
            found.definition.expect("there").steps[1]
                .timeout
                .expect("set")
                .seconds,
        )
    };
    assert_eq!((get(0).await, get(1).await), ((2, 9), (1, 10)));
    let listed = world
        .peer
        .clone()
        .list_definitions(pb::ListDefinitionsRequest {})
        .await
        .expect("listed")
        .into_inner();
    assert_eq!(
        listed
            .definitions
            .iter()
            .map(|found| found.version)
            .collect::<Vec<_>>(),
        [2]
    );
    let missing = pb::GetDefinitionRequest {
        name: "test".into(),
        version: 3,
    };
    assert_eq!(
        world
            .peer
            .clone()
            .get_definition(missing)
            .await
            .expect_err("none")
            .code(),
        Code::NotFound
    );
}

async fn a_running_saga_stays_on_its_version(engine: Engine) {
    let Some(mut world) = World::start_with(engine, "1s").await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    world
        .participant
        .will("ReserveStock", [Fate::Held(gate.clone())]);
    let (id, order) = world.begin().await;
    world.participant.called("ReserveStock", 1).await;
    let shorter = DEFINITION
        .split("  - name: authorize")
        .next()
        .expect("the first step");
    assert_eq!(world.register(shorter).await.expect("fine"), 2);
    world.crash().await;
    gate.notify_one();
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert_eq!((saga.version, saga.steps.len()), (1, 4));
    assert_eq!(world.participant.effects(&order).await.len(), 4);
    let (id, order) = world.begin().await;
    assert_eq!(world.until(&id, pb::SagaState::Completed).await.version, 2);
    assert_eq!(world.participant.effects(&order).await, ["ReserveStock"]);
}

async fn a_bad_definition_is_refused_with_its_place(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let refuse = async |source: &str| world.register(source).await.expect_err("must be refused");

    let wrong = DEFINITION.replace(
        "InventoryService/CommitStock",
        "InventoryService/CommitTheft",
    );
    let status = refuse(&wrong).await;
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_DEFINITION")
    );
    assert_eq!(violated_fields(&status), ["steps[2].call"]);
    assert!(
        status.message().contains("step `commit`"),
        "{}",
        status.message()
    );

    let status = refuse("name: [").await;
    assert_eq!(violated_fields(&status), ["source"]);
    let status = refuse(&format!(
        "name: test\ndescription: {}",
        "x".repeat(1024 * 1024)
    ))
    .await;
    assert_eq!(violated_fields(&status), ["source"]);
    let many: String = (0..10_000)
        .map(|step| format!("  - name: s{step}\n"))
        .collect();
    let status = refuse(&format!("name: test\nsteps:\n{many}")).await;
    assert_eq!(violated_fields(&status), ["steps"]);

    let unknown = world
        .begin_for("key", "order")
        .await
        .expect_err("nothing was registered");
    assert_eq!(
        (unknown.code(), reason(&unknown).as_str()),
        (Code::NotFound, "DEFINITION_NOT_FOUND")
    );
}

async fn only_operators_and_services_are_let_in(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    let as_whom = pb::saga_service_client::SagaServiceClient::new;
    let list = pb::ListSagasRequest::default();
    let status = as_whom(world.service.anonymous())
        .list_sagas(list.clone())
        .await
        .expect_err("nobody");
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = as_whom(world.service.customer())
        .list_sagas(list.clone())
        .await
        .expect_err("a customer");
    assert_eq!(status.code(), Code::PermissionDenied);
    let operator = world.service.user(uuid::Uuid::now_v7(), &["operator"]);
    as_whom(operator)
        .list_sagas(list)
        .await
        .expect("an operator");
    let retry = pb::RetrySagaRequest {
        saga_id: uuid::Uuid::now_v7().to_string(),
        reason: "why".into(),
    };
    let status = world
        .peer
        .clone()
        .retry_saga(retry)
        .await
        .expect_err("a service");
    assert_eq!(status.code(), Code::PermissionDenied);
}

async fn lists_come_in_pages(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let mut ids = Vec::new();
    for _ in 0..5 {
        let (id, _) = world.begin().await;
        world.until(&id, pb::SagaState::Completed).await;
        ids.insert(0, id);
    }
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = pb::ListSagasRequest {
            definition: "test".into(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = world.list(filter).await;
        assert!(page.sagas.len() <= 2 && page.sagas.iter().all(|saga| saga.steps.is_empty()));
        found.extend(page.sagas.into_iter().map(|saga| saga.saga_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ids, "newest first, each once");
    let key = world.saga(&ids[1]).await.key;
    let by_key = world
        .list(pb::ListSagasRequest {
            key,
            ..Default::default()
        })
        .await
        .sagas;
    assert_eq!(
        by_key.iter().map(|saga| &saga.saga_id).collect::<Vec<_>>(),
        [&ids[1]]
    );
    let completed = pb::ListSagasRequest {
        state: pb::SagaState::Completed.into(),
        ..Default::default()
    };
    assert_eq!(world.list(completed).await.sagas.len(), 5);
    let parked = pb::ListSagasRequest {
        state: pb::SagaState::Parked.into(),
        ..Default::default()
    };
    assert!(world.list(parked).await.sagas.is_empty());
}

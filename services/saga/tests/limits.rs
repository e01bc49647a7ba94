//! What bounds the orchestrator: how long it keeps what ended, and how much it takes on.

mod world;

use std::sync::{Arc, Mutex};

use alone::{Engine, on_both_engines, reason, wait::until};
use contracts::caravan::saga::v1 as pb;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use tokio::sync::Notify;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use world::{DEFINITION, Fate, World, structure};

on_both_engines!(
    what_a_saga_was_told_is_forgotten_some_time_after_its_end,
    a_saga_is_removed_some_time_after_its_end,
    new_work_is_refused_while_old_work_waits,
);

/// A number that a query of the orchestrator's database answers.
async fn number(database: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.expect("it reads");
    row.expect("one row").try_get_by_index(0).expect("a number")
}

async fn database(world: &World) -> DatabaseConnection {
    Database::connect(world.service.database().to_string())
        .await
        .expect("the orchestrator's own")
}

/// A saga that has completed, one that is parked, and the orders of both.
async fn ended_and_parked(world: &World) -> [(String, String); 2] {
    let ended = world.begin().await;
    world.until(&ended.0, pb::SagaState::Completed).await;
    world
        .participant
        .break_down("CommitStock", Code::Unimplemented);
    let parked = world.begin().await;
    world.until(&parked.0, pb::SagaState::Parked).await;
    [ended, parked]
}

async fn what_a_saga_was_told_is_forgotten_some_time_after_its_end(engine: Engine) {
    let Some(mut world) = World::start_as(engine, &[("SAGA_DATA_RETENTION", "1ms")]).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let [(ended, order), (parked, _)] = ended_and_parked(&world).await;
    let before = world.saga(&ended).await;
    let database = database(&world).await;
    let replies = "SELECT COUNT(*) FROM saga_log WHERE reply IS NOT NULL";
    assert_eq!(number(&database, replies).await, 2, "of one step each");
    // It looks when it starts, and now and then.
    world.crash().await;
    until("the reply is forgotten", || async {
        let left = number(&database, replies).await;
        if left == 1 { Ok(()) } else { Err(left) }
    })
    .await;
    let inputs = "SELECT COUNT(*) FROM sagas WHERE length(input) = 32";
    assert_eq!(number(&database, inputs).await, 1, "a fingerprint stays");
    assert_eq!(world.saga(&ended).await, before, "what happened stays");
    // It still tells whether it is the same.
    let again = world.begin_for(&order, &order).await.expect("the same");
    assert_eq!(again.saga_id, ended);
    let other = world.begin_for(&order, "another").await.expect_err("else");
    assert_eq!(reason(&other), "SAGA_INPUT_DIFFERS");
    // What has not ended forgets nothing.
    world.participant.heal("CommitStock");
    world.retry(&parked).await.expect("parked");
    world.until(&parked, pb::SagaState::Completed).await;
}

async fn a_saga_is_removed_some_time_after_its_end(engine: Engine) {
    let variables = [("SAGA_DATA_RETENTION", "1ms"), ("SAGA_RETENTION", "1ms")];
    let Some(mut world) = World::start_as(engine, &variables).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let [(ended, order), (parked, _)] = ended_and_parked(&world).await;
    world.crash().await;
    let unknown = until("the saga is gone", || async {
        let request = pb::GetSagaRequest {
            saga_id: ended.clone(),
        };
        match world.peer.clone().get_saga(request).await {
            Ok(saga) => Err(saga),
            Err(status) => Ok(status),
        }
    });
    assert_eq!(unknown.await.code(), Code::NotFound);
    let database = database(&world).await;
    let sagas = "SELECT COUNT(DISTINCT saga_id) FROM saga_log";
    assert_eq!(number(&database, sagas).await, 1, "its log is gone, too");
    assert_eq!(world.saga(&parked).await.state(), pb::SagaState::Parked);
    // Its key is free again.
    world.participant.heal("CommitStock");
    let again = world.begin_for(&order, &order).await.expect("a new one");
    assert_ne!(again.saga_id, ended);
}

async fn new_work_is_refused_while_old_work_waits(engine: Engine) {
    let Some(world) = World::start_as(engine, &[("SAGA_CONCURRENCY", "1")]).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    let definition = DEFINITION.replace("name: test", "name: slow");
    let patient = definition.replace("timeout: 10s", "timeout: 60s");
    world.register(&patient).await.expect("fine");
    world
        .participant
        .will("AuthorizePayment", [Fate::Held(gate.clone())]);
    let slow = start(&world, "slow", "slow")
        .await
        .expect("there is a place");
    world.participant.called("AuthorizePayment", 1).await;
    // Welcome as long as nothing waits for long; then not, and it is said when to come again.
    let waiting = Mutex::new(Vec::new());
    let refused = until("new work is refused", || async {
        match start(&world, "test", &Uuid::now_v7().to_string()).await {
            Ok(saga) => {
                waiting.lock().expect("fine").push(saga.saga_id);
                Err("taken on")
            }
            Err(refused) => Ok(refused),
        }
    })
    .await;
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::ResourceExhausted, "SAGA_OVERLOADED")
    );
    let details = refused.get_error_details();
    let again = details.retry_info().and_then(|info| info.retry_delay);
    assert!(again.is_some_and(|wait| !wait.is_zero()), "{refused:?}");
    // All that was taken on is done.
    gate.notify_one();
    world.until(&slow.saga_id, pb::SagaState::Completed).await;
    for id in waiting.into_inner().expect("fine") {
        world.until(&id, pb::SagaState::Completed).await;
    }
    until("new work is welcome", || async {
        start(&world, "test", "late").await.map(drop)
    })
    .await;
}

async fn start(world: &World, definition: &str, key: &str) -> Result<pb::Saga, Status> {
    let request = pb::StartSagaRequest {
        definition: definition.into(),
        key: key.into(),
        input: Some(structure(&[("order_id", key)])),
    };
    let begun = world.peer.clone().start_saga(request).await?.into_inner();
    Ok(begun.saga.expect("always there"))
}

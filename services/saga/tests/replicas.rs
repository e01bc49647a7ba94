//! Two orchestrators over one database: whatever happens to one of them, participants see one.

mod world;

use std::sync::Arc;

use alone::{Engine, on_both_engines, wait::until};
use contracts::caravan::saga::v1 as pb;
use kit::mesh::signal;
use tokio::sync::Notify;

use world::{DEFINITION, Fate, World};

on_both_engines!(an_orchestrator_that_slept_past_its_lease_changes_nothing);

async fn an_orchestrator_that_slept_past_its_lease_changes_nothing(engine: Engine) {
    let Some(world) = World::start_with(engine, "2s").await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    world
        .participant
        .will("AuthorizePayment", [Fate::Held(gate.clone())]);
    let (id, order) = world.begin().await;
    world.participant.called("AuthorizePayment", 1).await;

    signal(world.service.pid(), "STOP");
    let effects = [
        "ReserveStock",
        "AuthorizePayment",
        "CommitStock",
        "CapturePayment",
    ];
    world
        .service
        .beside(async |_| {
            until("the other one takes over", || async {
                let done = world.participant.effects(&order).await;
                if done == effects { Ok(()) } else { Err(done) }
            })
            .await;
        })
        .await;
    signal(world.service.pid(), "CONT");

    // The call of the one that slept arrives only now: its epoch is over.
    gate.notify_one();
    until("the one that slept lets go", || async {
        let log = world.service.log();
        log.iter()
            .any(|line| line.contains("lets go of a saga"))
            .then_some(())
            .ok_or("not yet")
    })
    .await;
    let saga = world.until(&id, pb::SagaState::Completed).await;
    assert!(saga.epoch >= 2);
    assert_eq!(world.participant.effects(&order).await, effects);
    assert_eq!(world.participant.calls("CommitStock").len(), 1);
}

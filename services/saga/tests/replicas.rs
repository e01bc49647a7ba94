//! Two orchestrators over one database: whatever happens to one of them, participants see one.

mod world;

use std::{sync::Arc, time::Duration};

use alone::{
    Engine, on_both_engines,
    wait::{until, within},
};
use contracts::caravan::saga::v1 as pb;
use futures::{FutureExt as _, future::BoxFuture};
use kit::mesh::signal;
use sea_orm::{ConnectionTrait as _, Database, Statement};
use tokio::sync::Notify;
use tonic::Code;
use uuid::Uuid;

use world::{DEFINITION, Fate, Verdict, Visit, World};

on_both_engines!(
    an_orchestrator_that_slept_past_its_lease_changes_nothing,
    a_killed_replica_s_sagas_all_go_on_in_the_other_and_none_twice,
);

/// Sagas under way when something happens to a replica.
const SAGAS: usize = 40;
/// The default lease of 10 s, and as much again for a machine with much else to do.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(20);
/// What a saga of [`DEFINITION`] does.
const EFFECTS: [&str; 4] = [
    "ReserveStock",
    "AuthorizePayment",
    "CommitStock",
    "CapturePayment",
];

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
    world
        .service
        .beside(async |_| {
            until("the other one takes over", || async {
                let done = world.participant.effects(&order).await;
                if done == EFFECTS { Ok(()) } else { Err(done) }
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
    assert_eq!(world.participant.effects(&order).await, EFFECTS);
    assert_eq!(world.participant.calls("CommitStock").len(), 1);
}

async fn a_killed_replica_s_sagas_all_go_on_in_the_other_and_none_twice(engine: Engine) {
    let Some(world) = World::start(engine).await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    let held = std::iter::repeat_n(Fate::Held(gate.clone()), SAGAS);
    world.participant.will("AuthorizePayment", held);
    let mut begun = Vec::new();
    for _ in 0..SAGAS {
        begun.push(world.begin().await);
    }
    let participant = &world.participant;
    participant.called("AuthorizePayment", SAGAS).await;
    let orders: Vec<_> = begun.iter().map(|(_, order)| order.clone()).collect();
    let replica = async |_: &_| {
        signal(world.service.pid(), "KILL");
        within(TAKEN_OVER_WITHIN, "all go on in the other one", || async {
            let called = participant.calls("CapturePayment").len();
            if called >= SAGAS { Ok(()) } else { Err(called) }
        })
        .await;
        // What the dead one asked for is late, and refused: the other one has said so with its epoch.
        gate.notify_waiters();
        let answers = participant.answered("AuthorizePayment", 2 * SAGAS).await;
        let stale = |reason: &&String| *reason == "SAGA_EPOCH_STALE";
        assert_eq!(answers.iter().filter(stale).count(), SAGAS, "{answers:?}");
    };
    world.service.beside(replica).await;
    for order in &orders {
        assert_eq!(participant.effects(order).await, EFFECTS, "{order}");
    }
}

/// Only on PostgreSQL: on SQLite a process may be paused while it has the lock that every writer needs.
#[tokio::test]
async fn two_replicas_one_of_them_paused_do_what_one_would() {
    let Some(mut world) = World::start_with(Engine::Postgres, "2s").await else {
        return;
    };
    world.register(DEFINITION).await.expect("fine");
    let gate = Arc::new(Notify::new());
    let held = |count| std::iter::repeat_n(Fate::Held(gate.clone()), count);
    // Some stand in the pivot, the others before it; of those every third pivot is refused.
    world.participant.will("CommitStock", held(SAGAS / 2));
    let mut begun = Vec::new();
    for number in 0..SAGAS {
        let order = Uuid::now_v7().to_string();
        if number == SAGAS / 2 {
            world.participant.called("CommitStock", SAGAS / 2).await;
            world
                .participant
                .will("AuthorizePayment", held(SAGAS - SAGAS / 2));
        }
        if number >= SAGAS / 2 && number % 3 == 0 {
            world.participant.watch(&order, Arc::new(refuse_the_pivot));
        }
        let saga = world.begin_for(&order, &order).await.expect("started");
        begun.push((saga.saga_id, order));
    }
    let rest = SAGAS;
    world.participant.called("AuthorizePayment", rest).await;
    signal(world.service.pid(), "STOP");
    let participant = world.participant.clone();
    world
        .service
        .beside(async |_| {
            within(TAKEN_OVER_WITHIN, "the other one calls again", || async {
                let again = participant.calls("AuthorizePayment").len();
                if again > rest { Ok(()) } else { Err(again) }
            })
            .await;
            signal(world.service.pid(), "CONT");
            gate.notify_waiters();
            for (id, _) in &begun {
                ended(&world, id).await;
            }
        })
        .await;
    world.crash().await;
    for (id, order) in &begun {
        let saga = ended(&world, id).await;
        let mut done = world.participant.effects(order).await;
        if saga.state() == pb::SagaState::Completed {
            assert_eq!(done, EFFECTS, "{saga:?}");
        } else {
            done.sort();
            let undone = [
                "AuthorizePayment",
                "ReleaseStock",
                "ReserveStock",
                "VoidPayment",
            ];
            assert_eq!(done, undone, "{saga:?}");
        }
    }
}

/// Only on PostgreSQL: an SQLite file has one orchestrator.
#[tokio::test]
async fn a_replica_that_joins_gets_its_share_of_what_is_at_work() {
    let Some(world) = World::start_with(Engine::Postgres, "3s").await else {
        return;
    };
    // Sagas that stay at work: they try again and again.
    let stubborn = DEFINITION.replace(
        "maxAttempts: 3, initialBackoff: 0.02s, maxBackoff: 0.05s",
        "maxAttempts: 1000, initialBackoff: 0.4s, maxBackoff: 0.4s",
    );
    world.register(&stubborn).await.expect("fine");
    let method = "AuthorizePayment";
    world.participant.break_down(method, Code::Unavailable);
    let mut begun = Vec::new();
    for _ in 0..SAGAS {
        begun.push(world.begin().await);
    }
    let database = Database::connect(world.service.database().to_string())
        .await
        .expect("the orchestrators' own");
    let shares = || async {
        let sql = "SELECT COUNT(*) FROM sagas WHERE owner IS NOT NULL GROUP BY owner";
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let rows = database.query_all_raw(statement).await.expect("it reads");
        let counts = rows.iter().map(|row| row.try_get_by_index::<i64>(0));
        counts.collect::<Result<Vec<_>, _>>().expect("numbers")
    };
    until("one has all", || async {
        let shares = shares().await;
        if shares == [SAGAS as i64] {
            Ok(())
        } else {
            Err(shares)
        }
    })
    .await;
    let joined = async |_: &_| {
        within(TAKEN_OVER_WITHIN, "each has its share", || async {
            let shares = shares().await;
            let fair = shares.iter().all(|share| *share >= SAGAS as i64 / 3);
            if shares.len() == 2 && fair {
                Ok(())
            } else {
                Err(shares)
            }
        })
        .await;
        world.participant.heal(method);
        for (id, order) in &begun {
            world.until(id, pb::SagaState::Completed).await;
            assert_eq!(world.participant.effects(order).await, EFFECTS, "{order}");
        }
    };
    world.service.beside(joined).await;
}

fn refuse_the_pivot(visit: Visit) -> BoxFuture<'static, Verdict> {
    let first = visit.label == "commit" && visit.number == 1 && !visit.done;
    let verdict = if first {
        Verdict::Refused(Code::FailedPrecondition)
    } else {
        Verdict::Fine
    };
    async move { verdict }.boxed()
}

async fn ended(world: &World, id: &str) -> pb::Saga {
    until(&format!("saga {id} ends"), || async {
        let saga = world.saga(id).await;
        let ended = [pb::SagaState::Completed, pb::SagaState::Compensated];
        if ended.contains(&saga.state()) {
            Ok(saga)
        } else {
            Err(saga)
        }
    })
    .await
}

//! The unit of work on both engines: what commits together, what is undone alone, what runs at most once.

#[allow(dead_code)]
mod support;

use std::time::Duration;

use chassis::{
    Call, Caller, SagaOperation, SagaStep,
    db::{Db, Error},
    error::Classify,
};
use contracts::caravan::inventory::v1::{ReserveStockRequest, ReserveStockResponse};
use futures::future::join_all;
use kit::Engine;
use support::{add, database, number, value};
use uuid::Uuid;

/// Runs a test on both engines.
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(kit::Engine::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(kit::Engine::Postgres).await; })*
        }
    };
}

on_both_engines! {
    concurrent_units_are_all_kept
    a_failing_unit_is_undone_alone
    a_cancelled_unit_is_undone_and_the_next_one_goes_on
    wherever_a_caller_goes_away_nobody_else_loses_anything
    a_kept_reply_is_answered_again
    a_key_with_another_message_is_refused
    twins_at_the_same_time_have_one_effect
    an_empty_compensation_leaves_a_mark_that_refuses_the_action
    a_stale_epoch_is_refused
    a_refused_step_keeps_its_epoch
    a_refusal_that_an_older_attempt_overtakes_is_none
    a_second_open_finds_the_schema
    replicas_that_start_together_migrate_once
    a_newer_schema_is_refused
}

async fn concurrent_units_are_all_kept(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let results =
        join_all((0..200).map(|_| db.write(|tx| async move { add(&tx, "all", 1).await }))).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(value(&db, "all").await, 200);
}

async fn a_failing_unit_is_undone_alone(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let results = join_all((0..40).map(|index| {
        db.write(move |tx| async move {
            add(&tx, "half", 1).await?;
            if index % 2 == 0 {
                Err(Error::Conflict)
            } else {
                Ok(())
            }
        })
    }))
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 20);
    assert_eq!(value(&db, "half").await, 20);
}

async fn a_cancelled_unit_is_undone_and_the_next_one_goes_on(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let (entered, mut inside) = tokio::sync::mpsc::channel(1);
    let unit = db.write(|tx| {
        let entered = entered.clone();
        async move {
            add(&tx, "cancelled", 1).await?;
            entered.send(()).await.expect("the test listens");
            std::future::pending::<Result<(), Error>>().await
        }
    });
    tokio::select! {
        _ = unit => unreachable!("it never ends"),
        _ = inside.recv() => {}
    }
    db.write(|tx| async move { add(&tx, "after", 1).await })
        .await
        .expect("the writer goes on");
    assert_eq!(value(&db, "cancelled").await, 0);
    assert_eq!(value(&db, "after").await, 1);
}

/// Drops a unit after each number of polls, with another one in the same batch before it and one behind it.
async fn wherever_a_caller_goes_away_nobody_else_loses_anything(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let mut kept = 0;
    for polls in 0..60 {
        let others: Vec<_> = (0..2)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move {
                    db.write(|tx| async move { add(&tx, "kept", 1).await })
                        .await
                })
            })
            .collect();
        let mut unit = Box::pin(db.write(|tx| async move { add(&tx, "left", 1).await }));
        for _ in 0..polls {
            if futures::poll!(unit.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(unit);
        for other in others {
            kept += i64::from(other.await.expect("no panic").is_ok());
        }
        assert_eq!(value(&db, "kept").await, kept, "after {polls} polls");
    }
    db.write(|tx| async move { add(&tx, "after", 1).await })
        .await
        .expect("the writer goes on");
}

fn step(saga_id: Uuid, operation: SagaOperation, epoch: i64) -> Call {
    Call {
        caller: Caller::Service {
            name: "saga".into(),
        },
        method: "/caravan.inventory.v1.InventoryService/ReserveStock",
        idempotency_key: None,
        prefer_wait: None,
        saga: Some(SagaStep {
            saga_id,
            step: "reserve".into(),
            operation,
            epoch,
        }),
    }
}

fn keyed(key: &str) -> Call {
    Call {
        saga: None,
        idempotency_key: Some(key.into()),
        ..step(Uuid::nil(), SagaOperation::Action, 0)
    }
}

/// Adds 1 to a counter at most once and answers a reply that is new each time the work runs.
async fn once(db: &Db, call: &Call, order: &str) -> Result<String, Error> {
    let request = ReserveStockRequest {
        order_id: order.into(),
        lines: vec![],
    };
    let reply: ReserveStockResponse = db
        .once(call, &request, |tx| async move {
            add(&tx, "once", 1).await?;
            Ok::<_, Error>(ReserveStockResponse {
                reservation_id: Uuid::now_v7().to_string(),
            })
        })
        .await?;
    Ok(reply.reservation_id)
}

async fn a_kept_reply_is_answered_again(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    for call in [keyed("k"), step(Uuid::now_v7(), SagaOperation::Action, 1)] {
        let first = once(&db, &call, "o").await.expect("new");
        assert_eq!(once(&db, &call, "o").await.expect("known"), first);
    }
    assert_eq!(value(&db, "once").await, 2);
}

async fn a_key_with_another_message_is_refused(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    once(&db, &keyed("k"), "o-1").await.expect("new");
    let error = once(&db, &keyed("k"), "o-2")
        .await
        .expect_err("another message");
    assert_eq!(error.reason(), "IDEMPOTENCY_KEY_REUSED");
    let other = Call {
        caller: Caller::Anonymous,
        ..keyed("k")
    };
    once(&db, &other, "o-2")
        .await
        .expect("a key belongs to its caller");
}

async fn twins_at_the_same_time_have_one_effect(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let call = keyed("twin");
    let replies = join_all((0..16).map(|_| once(&db, &call, "o"))).await;
    let first = replies[0].as_ref().expect("answered");
    assert!(
        replies
            .iter()
            .all(|reply| reply.as_ref().expect("answered") == first)
    );
    assert_eq!(value(&db, "once").await, 1);
}

async fn an_empty_compensation_leaves_a_mark_that_refuses_the_action(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let saga = Uuid::now_v7();
    let reply = once(&db, &step(saga, SagaOperation::Compensation, 1), "o")
        .await
        .expect("succeeds");
    assert_eq!(reply, "", "nothing ran");
    assert_eq!(value(&db, "once").await, 0);
    let error = once(&db, &step(saga, SagaOperation::Action, 1), "o")
        .await
        .expect_err("too late");
    assert_eq!(error.reason(), "SAGA_STEP_COMPENSATED");
    assert_eq!(value(&db, "once").await, 0);

    let saga = Uuid::now_v7();
    once(&db, &step(saga, SagaOperation::Action, 1), "o")
        .await
        .expect("runs");
    let undone = once(&db, &step(saga, SagaOperation::Compensation, 1), "o")
        .await
        .expect("runs");
    assert_ne!(undone, "", "there was something to undo");
    assert_eq!(
        once(&db, &step(saga, SagaOperation::Compensation, 1), "o")
            .await
            .expect("known"),
        undone
    );
    assert_eq!(value(&db, "once").await, 2);
}

async fn a_stale_epoch_is_refused(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let saga = Uuid::now_v7();
    once(&db, &step(saga, SagaOperation::Action, 7), "o")
        .await
        .expect("new");
    let error = once(&db, &step(saga, SagaOperation::Compensation, 6), "o")
        .await
        .expect_err("fenced");
    assert_eq!(error.reason(), "SAGA_EPOCH_STALE");
    once(&db, &step(saga, SagaOperation::Compensation, 8), "o")
        .await
        .expect("the newer one");
}

/// A step whose work says no.
async fn refuse(db: &Db, call: &Call) -> Error {
    let request = ReserveStockRequest::default();
    let refused = db.once(call, &request, |_| async {
        Err::<ReserveStockResponse, _>(Error::KeyReused)
    });
    refused.await.expect_err("the work says no")
}

async fn a_refused_step_keeps_its_epoch(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let saga = Uuid::now_v7();
    let action = |epoch| step(saga, SagaOperation::Action, epoch);
    let refused = refuse(&db, &action(2)).await;
    assert_eq!(refused.reason(), "IDEMPOTENCY_KEY_REUSED");
    let late = once(&db, &action(1), "o")
        .await
        .expect_err("its time is over");
    assert_eq!(late.reason(), "SAGA_EPOCH_STALE");
    assert_eq!(value(&db, "once").await, 0);
    // What was refused may be asked for again, by the same orchestrator and by later ones.
    once(&db, &action(2), "o")
        .await
        .expect("nothing keeps it away");
    assert_eq!(value(&db, "once").await, 1);
}

async fn a_refusal_that_an_older_attempt_overtakes_is_none(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let (mut overtaken, rounds) = (0, 20);
    for done in 0..rounds {
        let saga = Uuid::now_v7();
        let call = |epoch| step(saga, SagaOperation::Action, epoch);
        let older = std::sync::Mutex::new(None);
        let (newer, request) = (call(2), ReserveStockRequest::default());
        let refused = db.once(&newer, &request, |_| async {
            // Its epoch is raised, and nobody else knows yet.
            let mut older = older.lock().expect("nobody panicked");
            older.get_or_insert_with(|| {
                let (db, call) = (db.clone(), call(1));
                tokio::spawn(async move { once(&db, &call, "o").await })
            });
            Err::<ReserveStockResponse, _>(Error::KeyReused)
        });
        let refused = refused.await.expect_err("the work says no");
        let older = older.into_inner().expect("nobody panicked").expect("begun");
        match (refused.reason(), older.await.expect("it ends")) {
            ("CONFLICT", Ok(_)) => overtaken += 1,
            ("IDEMPOTENCY_KEY_REUSED", Err(late)) => {
                assert_eq!(late.reason(), "SAGA_EPOCH_STALE");
            }
            (reason, older) => panic!("round {done}: {reason}, but {older:?}"),
        }
        assert_eq!(value(&db, "once").await, overtaken);
    }
}

async fn a_second_open_finds_the_schema(engine: Engine) {
    let Some((db, url)) = database(engine).await else {
        return;
    };
    db.write(|tx| async move { add(&tx, "kept", 1).await })
        .await
        .expect("kept");
    let (again, twin) = tokio::join!(
        Db::open::<support::Migrator>(&url),
        Db::open::<support::Migrator>(&url)
    );
    assert_eq!(value(&again.expect("opens"), "kept").await, 1);
    assert_eq!(value(&twin.expect("opens"), "kept").await, 1);
}

async fn replicas_that_start_together_migrate_once(engine: Engine) {
    let Some(url) = kit::database_url(engine) else {
        return;
    };
    let replicas = join_all((0..4).map(|_| Db::open::<support::Migrator>(&url))).await;
    for db in replicas {
        assert_eq!(value(&db.expect("opens"), "none").await, 0);
    }
}

async fn a_newer_schema_is_refused(engine: Engine) {
    let Some(url) = kit::database_url(engine) else {
        return;
    };
    Db::open::<support::NextMigrator>(&url)
        .await
        .expect("the new program opens it");
    let error = Db::open::<support::Migrator>(&url).await;
    let error = format!("{:?}", error.expect_err("the old program must not"));
    assert!(error.contains("m0002_later"), "{error}");
}

#[tokio::test]
async fn a_unit_that_takes_too_long_is_cut_off() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let error = db
        .write(|tx| async move {
            add(&tx, "slow", 1).await?;
            std::future::pending::<Result<(), Error>>().await
        })
        .await
        .expect_err("it never ends");
    assert_eq!(error.reason(), "WRITE_TOO_SLOW");
    kit::wait::within(Duration::from_secs(5), "the writer goes on", || async {
        db.write(|tx| async move { add(&tx, "next", 1).await })
            .await
    })
    .await;
    assert_eq!(value(&db, "slow").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_commits_are_shared_and_full() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    assert_eq!(
        number(
            &db,
            "SELECT 1 AS n FROM pragma_journal_mode WHERE journal_mode = 'wal'",
            []
        )
        .await,
        1
    );
    db.write(|tx| async move {
        use sea_orm::ConnectionTrait as _;
        let row = tx
            .query_one_raw(sea_orm::Statement::from_string(
                tx.get_database_backend(),
                "PRAGMA synchronous",
            ))
            .await?;
        let level: i64 = row
            .expect("a row")
            .try_get("", "synchronous")
            .expect("a number");
        assert_eq!(level, 2, "FULL");
        Ok::<_, Error>(())
    })
    .await
    .expect("reads");
}

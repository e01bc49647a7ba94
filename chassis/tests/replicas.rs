//! Several replicas of a service publish one outbox and consume one stream; they come and go, and so does the broker.

#[allow(dead_code)]
mod support;

use std::time::Duration;

use chassis::db::Db;
use kit::{DatabaseUrl, Engine, database_url, wait::until};
use support::{
    database,
    mesh::{Ledger, Mesh, adjust, skus},
    number,
};

const AGGREGATES: usize = 8;

/// A second handle on the database, as another process has it.
async fn replica(url: &DatabaseUrl) -> Db {
    Db::open::<support::Migrator>(url).await.expect("opens")
}

async fn share_without_losing_order(engine: Engine) {
    let Some((publisher, url)) = database(engine).await else {
        return;
    };
    let (twin, mesh) = (replica(&url).await, Mesh::start().await);
    let consumer_url = database_url(engine).expect("there");
    let (first, second) = (replica(&consumer_url).await, replica(&consumer_url).await);
    let (ledger, skus) = (Ledger::default(), skus(AGGREGATES));
    let relay = mesh.relay(&publisher).await;
    mesh.relay(&twin).await;
    let consumer = mesh
        .consume(&first, ledger.consumer("ledger", &first))
        .await;
    mesh.consume(&second, ledger.consumer("ledger", &second))
        .await;
    for round in 1..=60i64 {
        match round {
            // One replica of each goes in the middle of its work.
            20 => relay.cancel(),
            40 => consumer.cancel(),
            _ => {}
        }
        for sku in &skus {
            // The replicas take turns at the same aggregate.
            let db = if round % 2 == 0 { &publisher } else { &twin };
            adjust(db, sku, round).await.expect("kept");
        }
    }
    ledger.reads(&skus, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_on_sqlite_share_without_losing_order() {
    share_without_losing_order(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_on_postgres_share_without_losing_order() {
    share_without_losing_order(Engine::Postgres).await;
}

/// kill -9 of the broker, its store lost and its store back, while events are made and consumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_survives_a_broker_that_is_killed_emptied_and_put_back() {
    let (publisher, _url) = database(Engine::Sqlite).await.expect("always there");
    let (receiver, _other) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    let (ledger, skus) = (Ledger::default(), skus(AGGREGATES));
    mesh.relay(&publisher).await;
    mesh.consume(&receiver, ledger.consumer("ledger", &receiver))
        .await;
    let backup = tempfile::tempdir().expect("a temporary folder");
    for round in 1..=50i64 {
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
        match round {
            10 => mesh.nats.restart().await,
            20 => {
                mesh.nats.kill();
                support::copy(&mesh.nats.store(), backup.path());
                mesh.nats.restart().await;
            }
            // Everything is lost.
            30 => mesh.nats.restart_empty().await,
            // What comes back is older than what the service remembers.
            40 => {
                mesh.nats.kill();
                std::fs::remove_dir_all(mesh.nats.store()).expect("removed");
                support::copy(backup.path(), &mesh.nats.store());
                mesh.nats.restart().await;
            }
            _ => {}
        }
    }
    ledger.reads(&skus, 50).await;
    until("all rows are marked as sent", || async {
        let sql = "SELECT COUNT(*) AS n FROM outbox WHERE sent_at_us IS NULL";
        match number(&publisher, sql, []).await {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
}

/// The store's folder is deleted while the broker runs and is used; what comes back is older than what it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_survives_a_store_that_is_deleted_under_a_running_broker() {
    let (publisher, _url) = database(Engine::Sqlite).await.expect("always there");
    let (receiver, _other) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    let (ledger, skus) = (Ledger::default(), skus(AGGREGATES));
    mesh.relay(&publisher).await;
    mesh.consume(&receiver, ledger.consumer("ledger", &receiver))
        .await;
    let backup = tempfile::tempdir().expect("a temporary folder");
    for round in 1..=60i64 {
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
        match round {
            15 => {
                mesh.nats.kill();
                support::copy(&mesh.nats.store(), backup.path());
                mesh.nats.restart().await;
                ledger.reads(&skus, round).await;
            }
            30 => std::fs::remove_dir_all(mesh.nats.store()).expect("removed"),
            45 => {
                mesh.nats.kill();
                let _ = std::fs::remove_dir_all(mesh.nats.store());
                support::copy(backup.path(), &mesh.nats.store());
                mesh.nats.restart().await;
            }
            _ => {}
        }
    }
    ledger.reads(&skus, 60).await;
}

/// A consumer whose acknowledgements are lost with its process starts again where it was, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_dies_with_events_in_hand_has_them_again_in_order() {
    let (publisher, _url) = database(Engine::Sqlite).await.expect("always there");
    let (receiver, other) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    let (ledger, skus) = (Ledger::default(), skus(2));
    mesh.relay(&publisher).await;
    for round in 1..=100i64 {
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
    }
    // Takes everything that the broker hands out and answers nothing: what a process does that is killed.
    let stream = until("the stream is there", || {
        mesh.jetstream.get_stream("INVENTORY")
    })
    .await;
    let durable = stream
        .create_consumer(async_nats::jetstream::consumer::pull::Config {
            durable_name: Some("ordering-ledger".into()),
            filter_subject: "inventory.stock.adjusted.v1".into(),
            ack_wait: Duration::from_secs(10),
            max_ack_pending: 512,
            ..Default::default()
        })
        .await
        .expect("made");
    let mut taken = durable
        .batch()
        .max_messages(50)
        .expires(Duration::from_secs(5))
        .messages()
        .await
        .expect("asked");
    for _ in 0..50 {
        let message = futures::StreamExt::next(&mut taken).await;
        message.expect("handed out").expect("a message");
    }
    drop(taken);
    drop(receiver);
    let receiver = replica(&other).await;
    mesh.consume(&receiver, ledger.consumer("ledger", &receiver))
        .await;
    ledger.reads(&skus, 100).await;
}

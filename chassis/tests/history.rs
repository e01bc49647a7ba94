//! History beyond the stream: consumers that come later or were away for long, and projections that are built anew.

#[allow(dead_code)]
mod support;

use std::time::Duration;

use chassis::{
    db::{Db, Error},
    events::Delivery,
    projection::{self, Projection},
};
use contracts::caravan::inventory::v1::{StockAdjusted, StockDepleted};
use kit::{
    Engine,
    wait::{until, within},
};
use sea_orm::ConnectionTrait as _;
use support::{
    add, all_sent, database,
    mesh::{Ledger, Mesh, adjust, skus},
    number, value,
};

/// Removes all that the stream holds, as its age would: the publisher sent it long ago.
async fn expire(mesh: &Mesh, publisher: &Db) {
    let sql = format!("UPDATE outbox SET sent_at_us = sent_at_us - {LONG_US}");
    change(publisher, &sql).await;
    let stream = mesh.jetstream.get_stream("INVENTORY").await.expect("there");
    stream.purge().await.expect("purged");
}

/// Longer than streams hold events.
const LONG_US: i64 = 8 * 24 * 60 * 60 * 1_000_000;

async fn change(db: &Db, sql: &str) {
    db.write(|tx| async move {
        tx.execute_unprepared(sql).await?;
        Ok::<_, Error>(())
    })
    .await
    .expect("changed");
}

async fn a_later_consumer_starts_at_the_beginning(engine: Engine) {
    let (Some((publisher, _a)), Some((receiver, _b))) =
        (database(engine).await, database(engine).await)
    else {
        return;
    };
    let (mesh, ledger, skus) = (Mesh::start().await, Ledger::default(), skus(3));
    mesh.relay(&publisher).await;
    for round in 1..=40 {
        if round == 21 {
            all_sent(&publisher).await;
            expire(&mesh, &publisher).await;
        }
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
    }
    let consumer = ledger
        .consumer("later", &receiver)
        .with_history_of(&publisher);
    let stop = mesh.consume(&receiver, consumer).await;
    ledger.reads(&skus, 40).await;

    // Away for longer than the stream holds events.
    until("it has noted that it had everything", || async {
        let sql = "SELECT COUNT(*) AS n FROM consumers WHERE complete_until_us IS NOT NULL";
        match number(&receiver, sql, []).await {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    stop.cancel();
    let sql = format!("UPDATE consumers SET complete_until_us = complete_until_us - {LONG_US}");
    change(&receiver, &sql).await;
    for round in 41..=50 {
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
    }
    all_sent(&publisher).await;
    expire(&mesh, &publisher).await;
    // A purge moves positions, which age does not: the consumer finds its own gone.
    let stream = mesh.jetstream.get_stream("INVENTORY").await.expect("there");
    stream
        .delete_consumer("ordering-later")
        .await
        .expect("deleted");
    let consumer = ledger
        .consumer("later", &receiver)
        .with_history_of(&publisher);
    mesh.consume(&receiver, consumer).await;
    ledger.reads(&skus, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_consumer_starts_at_the_beginning_on_sqlite() {
    a_later_consumer_starts_at_the_beginning(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_consumer_starts_at_the_beginning_on_postgres() {
    a_later_consumer_starts_at_the_beginning(Engine::Postgres).await;
}

/// Counts events by generation: `<prefix><generation>`.
fn counting(prefix: &'static str) -> Projection {
    Projection::new("counts", "inventory", move |tx, generation| async move {
        let sql = format!("DELETE FROM counters WHERE name = '{prefix}{generation}'");
        Ok(tx.execute_unprepared(&sql).await?.rows_affected())
    })
    .on(
        move |tx, generation, _: Delivery<StockAdjusted>| async move {
            add(&tx, &format!("{prefix}{generation}"), 1).await
        },
    )
    .on(
        move |tx, generation, _: Delivery<StockDepleted>| async move {
            add(&tx, &format!("{prefix}{generation}"), 1_000).await?;
            Ok::<_, Error>(())
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projection_is_built_anew_while_the_old_one_serves() {
    let (publisher, _a) = database(Engine::Sqlite).await.expect("always there");
    let (reader, _b) = database(Engine::Sqlite).await.expect("always there");
    let (mesh, skus) = (Mesh::start().await, skus(2));
    mesh.relay(&publisher).await;
    let counts = counting("seen-").with_history_of(&publisher);
    let (db, jetstream, stop) = (reader.clone(), mesh.jetstream.clone(), mesh.cancel.clone());
    tokio::spawn(async move { counts.run(db, jetstream, "reporting", stop).await });
    for round in 1..=10 {
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
    }
    until("the first generation has counted", || async {
        match value(&reader, "seen-1").await {
            20 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    all_sent(&publisher).await;
    expire(&mesh, &publisher).await;

    assert_eq!(
        projection::rebuild(&reader, "none").await.expect("asked"),
        None
    );
    assert_eq!(
        projection::rebuild(&reader, "counts").await.expect("asked"),
        Some(2)
    );
    assert_eq!(value(&reader, "seen-1").await, 20, "the old one is there");
    adjust(&publisher, "sku-0", 11).await.expect("kept");
    within(Duration::from_secs(30), "the new one serves", || async {
        match projection::serving(reader.read(), "counts").await {
            Ok(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    until(
        "the new one has counted, and the old one is gone",
        || async {
            match (
                value(&reader, "seen-2").await,
                value(&reader, "seen-1").await,
            ) {
                (21, 0) => Ok(()),
                other => Err(other),
            }
        },
    )
    .await;
}

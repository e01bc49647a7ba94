//! Events of a unit of work are rows with its commit, whatever they say, in the order in which they were appended.

#[allow(dead_code)]
mod support;

use chassis::{
    db::{Db, Error},
    outbox::{self, Envelope},
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::Engine;
use prost::Message as _;
use sea_orm::{ConnectionTrait as _, FromQueryResult, Statement};
use support::{add, database, number, value};

/// What may go wrong in a statement's text.
const NASTY: &str = "it's \"so\" \\ $1 {} ü 🫖'); DROP TABLE outbox; --";

#[derive(Debug, PartialEq, FromQueryResult)]
struct Row {
    aggregate_id: String,
    payload: Vec<u8>,
}

fn event(sku: &str, on_hand: i64) -> StockAdjusted {
    StockAdjusted {
        sku: sku.to_owned(),
        on_hand,
    }
}

async fn rows(db: &Db) -> Vec<Row> {
    let sql = "SELECT aggregate_id, payload FROM outbox ORDER BY id";
    let statement = Statement::from_string(db.read().get_database_backend(), sql);
    let rows = Row::find_by_statement(statement).all(db.read()).await;
    rows.expect("the query works")
}

async fn all_in_their_order(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    // Larger than what is left to the commit, between others.
    let large = "x".repeat(10_000);
    let events = [
        event(NASTY, 1),
        event("mug", 2),
        event(&large, 3),
        event("", 4),
        event("mug", 5),
        event("cup", i64::MIN),
        event("mug", 6),
    ];
    let wanted = events.iter().map(|event| Row {
        aggregate_id: event.sku.clone(),
        payload: event.encode_to_vec(),
    });
    let wanted: Vec<_> = wanted.collect();
    let events = &events;
    db.write(|tx| async move {
        for event in &events[..4] {
            outbox::append(&tx, event).await?;
        }
        let together = events[4..6].iter().map(Envelope::of);
        let together = together.collect::<Result<Vec<_>, _>>()?;
        outbox::append_all(&tx, together.iter().collect()).await?;
        outbox::append(&tx, &events[6]).await
    })
    .await
    .expect("kept");
    assert_eq!(rows(&db).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_written_in_their_order_on_sqlite() {
    all_in_their_order(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_written_in_their_order_on_postgres() {
    all_in_their_order(Engine::Postgres).await;
}

async fn together_or_not_at_all(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let kept = db
        .write(|tx| async move {
            outbox::append(&tx, &event("mug", 1)).await?;
            Err::<(), _>(Error::Conflict)
        })
        .await;
    assert!(kept.is_err());
    assert_eq!(rows(&db).await, []);
    // The events cannot be written, so nothing else is kept: no such table.
    db.write(|tx| async move {
        tx.execute_unprepared("ALTER TABLE outbox RENAME TO elsewhere")
            .await?;
        Ok::<_, Error>(())
    })
    .await
    .expect("renamed");
    let kept = db
        .write(|tx| async move {
            add(&tx, "effect", 1).await?;
            outbox::append(&tx, &event("mug", 1)).await
        })
        .await;
    assert!(kept.is_err());
    assert_eq!(value(&db, "effect").await, 0);
    let left = number(&db, "SELECT COUNT(*) AS n FROM elsewhere", []).await;
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_change_are_kept_together_or_not_at_all_on_sqlite() {
    together_or_not_at_all(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_change_are_kept_together_or_not_at_all_on_postgres() {
    together_or_not_at_all(Engine::Postgres).await;
}

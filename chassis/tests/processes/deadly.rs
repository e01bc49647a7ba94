//! An event that ends the process that handles it.

use chassis::outbox;
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{Engine, wait::within};

use crate::{
    pair::{CONSUMER, DEADLY, PUBLISHER, Pair, SETTLED_WITHIN},
    support::number,
};

/// The process is started again whenever it ends, until the event is a dead letter; all others have their effect.
async fn becomes_a_dead_letter(engine: Engine) {
    let Some(mut pair) = Pair::start(engine).await else {
        return;
    };
    pair.flows(50).await;
    let publisher = pair.open(PUBLISHER).await;
    let deadly = &StockAdjusted {
        sku: DEADLY.into(),
        on_hand: 1,
    };
    let made = publisher.write(|tx| async move { outbox::append(&tx, deadly).await });
    made.await.expect("kept");
    let receiver = pair.open(CONSUMER).await;
    let sql = "SELECT COUNT(*) AS n FROM dead_letters WHERE aggregate_id = 'deadly' AND code = 'INTERNAL'";
    let mut ends = 0;
    within(SETTLED_WITHIN, "the event is a dead letter", || {
        if pair.has_ended(CONSUMER) {
            ends += 1;
            pair.restart(CONSUMER);
        }
        let letters = number(&receiver, sql, []);
        async move {
            match letters.await {
                1 => Ok(()),
                other => Err(other),
            }
        }
    })
    .await;
    assert!((2..=8).contains(&ends), "the process ended {ends} times");
    pair.settles(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_ends_processes_becomes_a_dead_letter_on_sqlite() {
    becomes_a_dead_letter(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_ends_processes_becomes_a_dead_letter_on_postgres() {
    becomes_a_dead_letter(Engine::Postgres).await;
}

//! Consumers on PostgreSQL share commits, and what goes wrong in one touches nobody else.

#[allow(dead_code)]
mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use chassis::{
    Classify, Code,
    db::{Db, Error, Tx},
    events::{Consumer, Delivery, consumer},
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{DatabaseUrl, Engine, wait::until};
use sea_orm::ConnectionTrait as _;
use support::{
    add, all_sent, database,
    mesh::{Ledger, Mesh, adjust, skus},
    number, reaches, value,
};
use tokio::sync::Notify;

const AGGREGATES: usize = 24;
/// Events of each aggregate.
const EACH: i64 = 4;
/// The one of them at which something goes wrong.
const HARMFUL: i64 = 2;

/// A database with events that wait in the stream for a consumer to begin; `None` where there is no PostgreSQL.
async fn waiting_events() -> Option<(Mesh, Db, DatabaseUrl, Vec<String>)> {
    let (db, url) = database(Engine::Postgres).await?;
    let mesh = Mesh::start().await;
    let skus = skus(AGGREGATES);
    for event in 1..=EACH {
        for sku in &skus {
            adjust(&db, sku, event).await.expect("kept");
        }
    }
    mesh.relay(&db).await;
    all_sent(&db).await;
    Some((mesh, db, url, skus))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_share_transactions() {
    let Some((mesh, db, _url, skus)) = waiting_events().await else {
        return;
    };
    let ledger = Ledger::default();
    mesh.consume(&db, ledger.consumer("ledger", &db)).await;
    ledger.reads(&skus, EACH).await;
    let events = AGGREGATES as i64 * EACH;
    assert_eq!(value(&db, "effects").await, events);
    // Each row says which transaction wrote it.
    let sql = "SELECT COUNT(DISTINCT xmin::text) AS n FROM inbox";
    let transactions = number(&db, sql, []).await;
    assert!(
        transactions <= events / 2,
        "{transactions} transactions for {events} events"
    );
}

/// A failure with the code that a test chose.
#[derive(Debug, thiserror::Error)]
#[error("as the test wants")]
struct Failing(Code);

impl Classify for Failing {
    fn code(&self) -> Code {
        self.0
    }

    fn reason(&self) -> &'static str {
        "TEST"
    }
}

impl From<Error> for Failing {
    fn from(error: Error) -> Self {
        Self(error.code())
    }
}

/// What goes wrong, after the effect.
#[derive(Default)]
struct Harm {
    failed: AtomicBool,
    left: AtomicBool,
    entered: Notify,
}

impl Harm {
    async fn of(&self, tx: &Tx, sku: &str) -> Result<(), Failing> {
        match sku {
            "sku-1" => return Err(Failing(Code::FailedPrecondition)),
            "sku-2" => panic!("as the test wants"),
            "sku-3" if !self.failed.swap(true, Relaxed) => {
                return Err(Failing(Code::Unavailable));
            }
            // Its caller goes away.
            "sku-4" if !self.left.swap(true, Relaxed) => {
                self.entered.notify_one();
                std::future::pending::<()>().await;
            }
            // A statement fails, and the unit goes on as if it had not.
            "sku-5" => {
                let failed = tx.execute_unprepared("SELECT 1 / 0").await;
                assert!(failed.is_err());
            }
            _ => {}
        }
        Ok(())
    }
}

/// A consumer that counts each aggregate's events, and suffers harm at some.
fn harmed(db: &Db) -> Consumer {
    let (db, harm) = (db.clone(), Arc::new(Harm::default()));
    consumer("harmed", move |delivery: Delivery<StockAdjusted>| {
        let (db, harm) = (db.clone(), harm.clone());
        async move {
            let (harm, message) = (&*harm, &delivery.message);
            let unit = db.claim(&delivery, |tx| async move {
                add(&tx, &message.sku, 1).await?;
                match message.on_hand {
                    HARMFUL => harm.of(&tx, &message.sku).await,
                    _ => Ok(()),
                }
            });
            if (&*message.sku, message.on_hand) != ("sku-4", HARMFUL) {
                return unit.await;
            }
            tokio::select! {
                done = unit => done,
                () = harm.entered.notified() => Err(Failing(Code::Unavailable)),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_undone_alone() {
    let Some((mesh, db, _url, skus)) = waiting_events().await else {
        return;
    };
    mesh.consume(&db, harmed(&db)).await;
    for sku in &skus {
        let dead = ["sku-1", "sku-2", "sku-5"].contains(&sku.as_str());
        reaches(&db, sku, EACH - i64::from(dead)).await;
    }
    let sql =
        "SELECT COUNT(*) AS n FROM dead_letters WHERE aggregate_id IN ('sku-1', 'sku-2', 'sku-5')";
    until("dead letters", || async {
        match number(&db, sql, []).await {
            3 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let letters = number(&db, "SELECT COUNT(*) AS n FROM dead_letters", []).await;
    assert_eq!(letters, 3);
    let inbox = number(&db, "SELECT COUNT(*) AS n FROM inbox", []).await;
    assert_eq!(inbox, AGGREGATES as i64 * EACH - 3, "one effect each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_a_lock_holds_up_nobody_else() {
    let Some((mesh, db, _url, skus)) = waiting_events().await else {
        return;
    };
    let (held, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let holder = tokio::spawn({
        let (db, held, release) = (db.clone(), held.clone(), release.clone());
        async move {
            let (held, release) = (&held, &release);
            db.write(|tx| async move {
                add(&tx, "sku-3", 1).await?;
                held.notify_one();
                release.notified().await;
                Ok::<_, Error>(())
            })
            .await
        }
    });
    held.notified().await;
    mesh.consume(&db, harmless(&db)).await;
    for sku in skus.iter().filter(|sku| *sku != "sku-3") {
        reaches(&db, sku, EACH).await;
    }
    assert_eq!(value(&db, "sku-3").await, 0);
    release.notify_one();
    holder.await.expect("no panic").expect("kept");
    reaches(&db, "sku-3", EACH + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_that_lock_in_another_order_are_all_kept() {
    const UNITS: i64 = 20;
    let Some((mesh, db, _url, skus)) = waiting_events().await else {
        return;
    };
    mesh.consume(&db, harmless(&db)).await;
    for _ in 0..UNITS {
        let skus = &skus;
        db.write(|tx| async move {
            for sku in skus.iter().rev() {
                add(&tx, sku, 1).await?;
            }
            Ok::<_, Error>(())
        })
        .await
        .expect("the batch gives way");
    }
    for sku in &skus {
        reaches(&db, sku, EACH + UNITS).await;
    }
}

/// A consumer that counts each aggregate's events.
fn harmless(db: &Db) -> Consumer {
    let db = db.clone();
    consumer("harmless", move |delivery: Delivery<StockAdjusted>| {
        let db = db.clone();
        async move {
            let sku = &delivery.message.sku;
            db.claim(&delivery, |tx| async move { add(&tx, sku, 1).await })
                .await
        }
    })
}

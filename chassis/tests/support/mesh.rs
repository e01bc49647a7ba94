//! A broker, relays and consumers, and a ledger of what consumers did, outside of all of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use chassis::{
    db::{Db, Error},
    events::{Consumer, Delivery, consumer},
    outbox::{self, Relay},
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{Nats, wait::until};
use tokio_util::sync::CancellationToken;

use super::add;

/// A broker, and what uses it until the value ends.
pub(crate) struct Mesh {
    pub(crate) nats: Nats,
    pub(crate) jetstream: async_nats::jetstream::Context,
    pub(crate) cancel: CancellationToken,
}

impl Mesh {
    pub(crate) async fn start() -> Self {
        Self::start_with(Nats::start().await).await
    }

    pub(crate) async fn start_with(nats: Nats) -> Self {
        // Shown for a test that fails. A second test of this process finds it set up.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        Self {
            jetstream: connect(&nats).await,
            nats,
            cancel: CancellationToken::new(),
        }
    }

    /// Publishes the outbox of `db` as one more replica of `inventory`, over a connection of its own.
    pub(crate) async fn relay(&self, db: &Db) -> CancellationToken {
        let stop = self.cancel.child_token();
        let relay = Relay::new(db.clone(), connect(&self.nats).await, "inventory");
        tokio::spawn(relay.run(stop.clone()));
        stop
    }

    /// Consumes as one more replica of `ordering`, over a connection of its own.
    pub(crate) async fn consume(&self, db: &Db, consumer: Consumer) -> CancellationToken {
        let stop = self.cancel.child_token();
        let (db, jetstream, cancel) = (db.clone(), connect(&self.nats).await, stop.clone());
        tokio::spawn(async move { consumer.run(db, jetstream, "ordering", cancel).await });
        stop
    }
}

async fn connect(nats: &Nats) -> async_nats::jetstream::Context {
    let client = async_nats::connect(nats.url()).await.expect("connects");
    async_nats::jetstream::new(client)
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Appends the `number`-th event of an aggregate.
pub(crate) async fn adjust(db: &Db, sku: &str, number: i64) -> Result<(), Error> {
    let event = StockAdjusted {
        sku: sku.into(),
        on_hand: number,
    };
    let event = &event;
    db.write(|tx| async move {
        add(&tx, "committed", 1).await?;
        outbox::append(&tx, event).await
    })
    .await
}

/// A consumer that counts the events of each aggregate that take effect: in the counter `<name>-<sku>`.
pub(crate) fn counting(name: &str, db: &Db) -> Consumer {
    let (db, counters) = (db.clone(), name.to_owned());
    consumer(name, move |delivery: Delivery<StockAdjusted>| {
        let (db, counter) = (db.clone(), format!("{counters}-{}", delivery.message.sku));
        async move {
            let counter = &counter;
            db.claim(&delivery, |tx| async move { add(&tx, counter, 1).await })
                .await
        }
    })
}

/// What took effect, in the order in which it did, by aggregate.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    effects: Arc<Mutex<HashMap<String, Vec<i64>>>>,
}

impl Ledger {
    /// Notes an effect that was committed.
    pub(crate) fn note(&self, delivery: &Delivery<StockAdjusted>) {
        let mut effects = self.effects.lock().expect("not poisoned");
        let of_sku = effects.entry(delivery.message.sku.clone()).or_default();
        of_sku.push(delivery.message.on_hand);
    }

    /// A consumer that notes each event for which its unit of work ran and committed.
    pub(crate) fn consumer(&self, name: &str, db: &Db) -> Consumer {
        let (ledger, db) = (self.clone(), db.clone());
        consumer(name, move |delivery: Delivery<StockAdjusted>| {
            let (ledger, db) = (ledger.clone(), db.clone());
            async move {
                let ran = std::sync::atomic::AtomicBool::new(false);
                let flag = &ran;
                db.claim(&delivery, |tx| async move {
                    add(&tx, "effects", 1).await?;
                    flag.store(true, std::sync::atomic::Ordering::Relaxed);
                    Ok::<_, Error>(())
                })
                .await?;
                if ran.into_inner() {
                    ledger.note(&delivery);
                }
                Ok::<_, Error>(())
            }
        })
    }

    /// Waits until every aggregate has had the events 1 to `last`, each once and in order.
    pub(crate) async fn reads(&self, skus: &[String], last: i64) {
        until("every event has had its effect", || async {
            let effects = self.effects.lock().expect("not poisoned");
            let had = |sku: &String| effects.get(sku).map_or(0, Vec::len) as i64;
            match skus.iter().map(had).min() {
                Some(fewest) if fewest >= last => Ok(()),
                fewest => Err(fewest),
            }
        })
        .await;
        let effects = self.effects.lock().expect("not poisoned");
        for sku in skus {
            let expected: Vec<_> = (1..=last).collect();
            assert_eq!(
                effects.get(sku),
                Some(&expected),
                "{sku}: once each, in order"
            );
        }
    }
}

/// Names of this many aggregates.
pub(crate) fn skus(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("sku-{number}")).collect()
}

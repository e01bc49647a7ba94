//! Events from one service to one consumer: outbox, relay, broker, inbox, effect.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use chassis::{
    db::{Db, Error},
    events::{Delivery, consumer},
    outbox::{self, Relay},
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{Engine, Nats, wait::within};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    history,
    tables::{any_account, enter, open, total},
};
use crate::{load, machine};

/// Callers that make events at the same time.
const CALLERS: usize = 128;
/// Events one at a time on an idle pair of services.
const ALONE: i64 = 500;
/// Longest wait until the last event has had its effect.
const DRAINED_WITHIN: Duration = Duration::from_secs(120);

/// What one pair of services did.
pub(super) struct Flow {
    /// Events in the outbox before.
    pub(super) history: u64,
    /// From the answer to a commit to the effect, committed in the other database, shortest first.
    pub(super) latencies: Vec<Duration>,
    /// Events that had their effect, and how long that took from the first commit to the last effect.
    pub(super) events: i64,
    pub(super) took: Duration,
    /// CPU seconds of this process for each of them: publisher, relay and consumer together.
    pub(super) cpu_s: f64,
}

/// A publisher and a consumer with a database each, in one process, and a broker.
struct Pair {
    publisher: Db,
    consumer: Db,
    /// Effects that were committed.
    effects: watch::Receiver<i64>,
    cancel: CancellationToken,
    _nats: Nats,
}

pub(super) async fn run(engine: Engine, history: u64, length: Duration) -> Flow {
    let urls = [engine; 2].map(|engine| kit::database_url(engine).expect("the engine is there"));
    let pair = Pair::start(&urls[0], &urls[1], history).await;
    let mut latencies = pair.one_at_a_time().await;
    latencies.sort_unstable();
    let before = *pair.effects.borrow();
    let (began, cpu_before_s) = (Instant::now(), machine::cpu_s(process::id()));
    let publisher = pair.publisher.clone();
    let one = move || {
        let db = publisher.clone();
        async move { publish(&db).await }
    };
    let load = load::run_in_tasks(CALLERS, length, one).await;
    let events = load.ended as i64;
    let mut effects = pair.effects.clone();
    let drained = effects.wait_for(|done| *done >= before + events);
    tokio::time::timeout(DRAINED_WITHIN, drained)
        .await
        .expect("all events have had their effect")
        .expect("the consumer runs");
    let took = began.elapsed();
    let cpu_s = load.each(machine::cpu_s(process::id()) - cpu_before_s);
    within(
        DRAINED_WITHIN,
        "every event had its effect once",
        || async {
            match total(&pair.consumer).await {
                all if all == before + events => Ok(()),
                other => Err(other),
            }
        },
    )
    .await;
    Flow {
        history,
        latencies,
        events,
        took,
        cpu_s,
    }
}

impl Pair {
    async fn start(publisher: &str, consumer_url: &str, history: u64) -> Self {
        let nats = Nats::start().await;
        let client = async_nats::connect(nats.url()).await.expect("connects");
        let jetstream = async_nats::jetstream::new(client);
        let (publisher, receiver) = (open(publisher).await, open(consumer_url).await);
        history::fill(&publisher, history).await;
        let cancel = CancellationToken::new();
        let relay = Relay::new(publisher.clone(), jetstream.clone(), "inventory");
        tokio::spawn(relay.run(cancel.clone()));
        let (done, effects) = watch::channel(0);
        let counted = Arc::new(AtomicU64::new(0));
        let db = receiver.clone();
        let effect = consumer("effect", move |delivery: Delivery<StockAdjusted>| {
            let (db, done, counted) = (db.clone(), done.clone(), counted.clone());
            async move {
                let account = delivery.message.on_hand;
                db.claim(&delivery, |tx| async move { enter(&tx, account, 1).await })
                    .await?;
                done.send_replace(counted.fetch_add(1, Relaxed) as i64 + 1);
                Ok::<_, Error>(())
            }
        });
        let (db, stop) = (receiver.clone(), cancel.clone());
        tokio::spawn(async move { effect.run(db, jetstream, "ordering", stop).await });
        Self {
            publisher,
            consumer: receiver,
            effects,
            cancel,
            _nats: nats,
        }
    }

    async fn one_at_a_time(&self) -> Vec<Duration> {
        let mut effects = self.effects.clone();
        let mut latencies = Vec::new();
        // The first ones find connections, streams and caches cold.
        for number in 1..=ALONE {
            assert!(publish(&self.publisher).await, "the database takes it");
            let committed = Instant::now();
            effects
                .wait_for(|done| *done >= number)
                .await
                .expect("the consumer runs");
            if number > ALONE / 10 {
                latencies.push(committed.elapsed());
            }
        }
        latencies
    }
}

/// One unit of work that makes an event.
async fn publish(db: &Db) -> bool {
    let account = any_account();
    let event = &StockAdjusted {
        sku: format!("sku-{account}"),
        on_hand: account,
    };
    let done = db.write(|tx| async move {
        enter(&tx, account, 1).await?;
        outbox::append(&tx, event).await
    });
    done.await.is_ok()
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

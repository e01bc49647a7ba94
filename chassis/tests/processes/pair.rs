//! Two services and their broker, each a process.

use std::{
    env,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chassis::{
    db::{Db, Error},
    events::{Delivery, consumer},
    outbox::Relay,
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{DatabaseUrl, Engine, Nats, database_url, wait::within};
use sea_orm::ConnectionTrait as _;
use tokio_util::sync::CancellationToken;

use crate::support::{
    self, add,
    mesh::{adjust, skus},
    number, value,
};

/// Tell a child what it is and what it works on.
const ROLE: &str = "CARAVAN_TEST_ROLE";
const DATABASE: &str = "CARAVAN_TEST_DATABASE";
const NATS: &str = "CARAVAN_TEST_NATS";

const AGGREGATES: usize = 6;
/// Longest time until all is settled after the last blow.
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_secs(90);
/// Pause of the publisher between two events: load that lasts through an outage.
const PACE: Duration = Duration::from_millis(4);
/// The aggregate whose events end the process that handles them.
pub(crate) const DEADLY: &str = "deadly";

/// The two services. The consumer may have a replica.
pub(crate) const PUBLISHER: usize = 0;
pub(crate) const CONSUMER: usize = 1;
pub(crate) const REPLICA: usize = 2;
/// What each side is called, in its own database's counters too.
const ROLES: [&str; 3] = ["publisher", "consumer", "replica"];

/// What a child does until it is killed; nothing where nobody says what.
pub(crate) async fn child() {
    let (Ok(role), Ok(url), Ok(nats)) = (env::var(ROLE), env::var(DATABASE), env::var(NATS)) else {
        return;
    };
    // The database may be away right now.
    let db = opened(&url).await;
    let client = async_nats::ConnectOptions::new()
        .ping_interval(Duration::from_secs(5))
        .retry_on_initial_connect()
        .connect(nats)
        .await
        .expect("connects");
    let jetstream = async_nats::jetstream::new(client);
    let never = CancellationToken::new();
    if role == ROLES[PUBLISHER] {
        let relay = Relay::new(db.clone(), jetstream, "inventory");
        tokio::spawn(relay.run(never));
        publish(&db).await;
    } else {
        let (checked, by) = (db.clone(), format!("by {role}"));
        let check = consumer("check", move |delivery: Delivery<StockAdjusted>| {
            let (db, by) = (checked.clone(), by.clone());
            async move { check(&db, &by, delivery).await }
        });
        check.run(db, jetstream, "ordering", never).await;
    }
}

/// The effect of an event, which notes if it is not the next of its aggregate.
async fn check(db: &Db, by: &str, delivery: Delivery<StockAdjusted>) -> Result<(), Error> {
    let message = &delivery.message;
    if message.sku == DEADLY {
        std::process::abort();
    }
    db.claim(&delivery, |tx| async move {
        add(&tx, &message.sku, 1).await?;
        add(&tx, by, 1).await?;
        let sql = "SELECT 1 AS n FROM counters WHERE name = $1 AND value = $2";
        let values = [message.sku.as_str().into(), message.on_hand.into()];
        let backend = tx.get_database_backend();
        let statement = sea_orm::Statement::from_sql_and_values(backend, sql, values);
        if tx.query_one_raw(statement).await?.is_none() {
            add(&tx, "out of order", 1).await?;
        }
        Ok(())
    })
    .await
}

/// Makes events for ever. The number of each is stored with it: after a kill it goes on behind the last that was kept.
async fn publish(db: &Db) {
    let skus = skus(AGGREGATES);
    loop {
        if let Ok(next) = support::try_value(db, "committed").await {
            let sku = &skus[next as usize % AGGREGATES];
            let _ = adjust(db, sku, next / AGGREGATES as i64 + 1).await;
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Two services, one broker.
pub(crate) struct Pair {
    pub(crate) nats: Nats,
    urls: [DatabaseUrl; 2],
    children: Vec<Child>,
}

impl Pair {
    pub(crate) async fn start(engine: Engine) -> Option<Self> {
        Some(Self::start_on([database_url(engine)?, database_url(engine)?]).await)
    }

    pub(crate) async fn start_on(urls: [DatabaseUrl; 2]) -> Self {
        let mut pair = Self {
            nats: Nats::start().await,
            urls,
            children: Vec::new(),
        };
        for side in [PUBLISHER, CONSUMER] {
            pair.children.push(pair.spawn(side));
        }
        pair
    }

    /// Starts a second replica of the consumer.
    pub(crate) fn add_replica(&mut self) {
        self.children.push(self.spawn(REPLICA));
    }

    /// Waits until the consumer has had this many events more than now.
    pub(crate) async fn flows(&self, more: i64) {
        let db = self.open(CONSUMER).await;
        let before = effects(&db).await;
        grows(|| effects(&db), before + more).await;
    }

    /// Waits until the publisher has made this many events more than now.
    pub(crate) async fn publishes(&self, more: i64) {
        let db = self.open(PUBLISHER).await;
        let before = value(&db, "committed").await;
        grows(|| value(&db, "committed"), before + more).await;
    }

    pub(crate) async fn open(&self, side: usize) -> Db {
        opened(&self.urls[side.min(CONSUMER)]).await
    }

    pub(crate) fn kill(&mut self, side: usize) {
        let _ = self.children[side].kill();
        let _ = self.children[side].wait();
    }

    pub(crate) fn restart(&mut self, side: usize) {
        self.children[side] = self.spawn(side);
    }

    /// Whether the process has ended.
    pub(crate) fn has_ended(&mut self, side: usize) -> bool {
        matches!(self.children[side].try_wait(), Ok(Some(_)))
    }

    pub(crate) fn signal(&self, side: usize, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.children[side].id().to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Waits until the broker has nothing left for the consumer.
    pub(crate) async fn drains(&self) {
        let client = async_nats::connect(self.nats.url())
            .await
            .expect("connects");
        let jetstream = async_nats::jetstream::new(client);
        let stream = jetstream.get_stream("INVENTORY").await.expect("there");
        within(SETTLED_WITHIN, "the consumer has nothing left", || async {
            let info = stream.consumer_info("ordering-check").await;
            match info.map(|info| info.num_pending + info.num_ack_pending as u64) {
                Ok(0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    /// Ends the load and waits until every event that was counted has had its effect once, in order. `dead` others could not.
    pub(crate) async fn settles(&mut self, dead: i64) {
        self.flows(100).await;
        self.kill(PUBLISHER);
        let publisher = self.open(PUBLISHER).await;
        let client = async_nats::connect(self.nats.url())
            .await
            .expect("connects");
        let stop = CancellationToken::new();
        let jetstream = async_nats::jetstream::new(client);
        tokio::spawn(Relay::new(publisher.clone(), jetstream, "inventory").run(stop.clone()));
        let committed = value(&publisher, "committed").await;
        let receiver = self.open(CONSUMER).await;
        within(SETTLED_WITHIN, "every event has its effect", || async {
            match effects(&receiver).await {
                all if all == committed => Ok(()),
                other => Err(format!("{other} of {committed}")),
            }
        })
        .await;
        assert_eq!(value(&receiver, "out of order").await, 0, "order");
        let inbox = number(&receiver, "SELECT COUNT(*) AS n FROM inbox", []).await;
        assert_eq!(inbox, committed, "one effect each");
        let letters = number(&receiver, "SELECT COUNT(*) AS n FROM dead_letters", []).await;
        assert_eq!(letters, dead);
        stop.cancel();
    }

    fn spawn(&self, side: usize) -> Child {
        Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "child", "--nocapture"])
            .env(ROLE, ROLES[side])
            .env(DATABASE, self.urls[side.min(CONSUMER)].to_string())
            .env(NATS, self.nats.url())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program runs")
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for side in 0..self.children.len() {
            self.kill(side);
        }
    }
}

async fn opened(url: &str) -> Db {
    within(SETTLED_WITHIN, "the database opens", || {
        Db::open::<support::Migrator>(url)
    })
    .await
}

/// Waits until a number has come this far.
async fn grows<F: Future<Output = i64>>(mut read: impl FnMut() -> F, wanted: i64) {
    within(SETTLED_WITHIN, "events flow", || {
        let now = read();
        async move {
            match now.await {
                now if now >= wanted => Ok(()),
                now => Err(wanted - now),
            }
        }
    })
    .await;
}

/// Events that took effect.
async fn effects(db: &Db) -> i64 {
    let sql =
        "SELECT CAST(COALESCE(SUM(value), 0) AS BIGINT) AS n FROM counters WHERE name LIKE 'sku-%'";
    number(db, sql, []).await
}

/// Events that took effect in a replica of the consumer.
pub(crate) async fn effects_by(db: &Db, side: usize) -> i64 {
    value(db, &format!("by {}", ROLES[side])).await
}

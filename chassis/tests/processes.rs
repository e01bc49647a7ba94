//! A publisher and a consumer as processes of their own, which are killed, paused and started again while events flow.
//! What took effect is read from the consumer's database, in which each effect checks that it is the next of its aggregate.

#[allow(dead_code)]
mod support;

use std::{
    env,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chassis::{
    db::{Db, Error},
    events::{Delivery, consumer},
    outbox::Relay,
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{DatabaseUrl, Engine, Nats, database_url, wait::within};
use sea_orm::ConnectionTrait as _;
use support::{
    add,
    mesh::{adjust, skus},
    number, value,
};
use tokio_util::sync::CancellationToken;

/// Tell a child what it is and what it works on.
const ROLE: &str = "CARAVAN_TEST_ROLE";
const DATABASE: &str = "CARAVAN_TEST_DATABASE";
const NATS: &str = "CARAVAN_TEST_NATS";

const AGGREGATES: usize = 6;
/// Longest time until all is settled after the last blow.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// What a child does until it is killed; nothing where nobody says what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(role), Ok(url), Ok(nats)) = (env::var(ROLE), env::var(DATABASE), env::var(NATS)) else {
        return;
    };
    let db = Db::open::<support::Migrator>(&url).await.expect("opens");
    let client = async_nats::ConnectOptions::new()
        .ping_interval(Duration::from_secs(5))
        .retry_on_initial_connect()
        .connect(nats)
        .await
        .expect("connects");
    let jetstream = async_nats::jetstream::new(client);
    let never = CancellationToken::new();
    if role == "publisher" {
        let relay = Relay::new(db.clone(), jetstream, "inventory");
        tokio::spawn(relay.run(never));
        publish(&db).await;
    } else {
        let checked = db.clone();
        let check = consumer("check", move |delivery: Delivery<StockAdjusted>| {
            let db = checked.clone();
            async move {
                let message = &delivery.message;
                db.claim(&delivery, |tx| async move {
                    add(&tx, &message.sku, 1).await?;
                    let sql = "SELECT 1 AS n FROM counters WHERE name = $1 AND value = $2";
                    let values = [message.sku.as_str().into(), message.on_hand.into()];
                    let statement = sea_orm::Statement::from_sql_and_values(
                        tx.get_database_backend(),
                        sql,
                        values,
                    );
                    if tx.query_one_raw(statement).await?.is_none() {
                        add(&tx, "out of order", 1).await?;
                    }
                    Ok::<_, Error>(())
                })
                .await
            }
        });
        check.run(db, jetstream, "ordering", never).await;
    }
}

/// Makes events for ever. The number of each is stored with it: after a kill it goes on behind the last that was kept.
async fn publish(db: &Db) {
    let skus = skus(AGGREGATES);
    loop {
        let next = value(db, "committed").await;
        let sku = &skus[next as usize % AGGREGATES];
        let _ = adjust(db, sku, next / AGGREGATES as i64 + 1).await;
    }
}

/// Two services, one broker.
struct Pair {
    nats: Nats,
    urls: [DatabaseUrl; 2],
    children: [Child; 2],
}

impl Pair {
    async fn start(engine: Engine) -> Option<Self> {
        let urls = [database_url(engine)?, database_url(engine)?];
        let nats = Nats::start().await;
        let children = [
            spawn("publisher", &urls[0], &nats),
            spawn("consumer", &urls[1], &nats),
        ];
        Some(Self {
            nats,
            urls,
            children,
        })
    }

    /// Waits until the consumer has had this many events more than now.
    async fn flows(&self, more: i64) {
        let db = self.open(1).await;
        let before = effects(&db).await;
        within(SETTLED_WITHIN, "events flow", || async {
            match effects(&db).await {
                now if now >= before + more => Ok(()),
                now => Err(now - before),
            }
        })
        .await;
    }

    async fn open(&self, side: usize) -> Db {
        let url = &self.urls[side];
        within(SETTLED_WITHIN, "the database opens", || {
            Db::open::<support::Migrator>(url)
        })
        .await
    }

    fn kill(&mut self, side: usize) {
        let _ = self.children[side].kill();
        let _ = self.children[side].wait();
    }

    fn restart(&mut self, side: usize) {
        let role = ["publisher", "consumer"][side];
        self.children[side] = spawn(role, &self.urls[side], &self.nats);
    }

    fn signal(&self, side: usize, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.children[side].id().to_string()])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Ends the load and waits until every committed event has had its effect once, in order.
    async fn settles(mut self) {
        self.flows(100).await;
        self.kill(0);
        let publisher = self.open(0).await;
        let client = async_nats::connect(self.nats.url())
            .await
            .expect("connects");
        let stop = CancellationToken::new();
        let jetstream = async_nats::jetstream::new(client);
        tokio::spawn(Relay::new(publisher.clone(), jetstream, "inventory").run(stop.clone()));
        let committed = value(&publisher, "committed").await;
        let receiver = self.open(1).await;
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
        let dead = number(&receiver, "SELECT COUNT(*) AS n FROM dead_letters", []).await;
        assert_eq!(dead, 0);
        stop.cancel();
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.kill(0);
        self.kill(1);
    }
}

/// Events that took effect.
async fn effects(db: &Db) -> i64 {
    let sql =
        "SELECT CAST(COALESCE(SUM(value), 0) AS BIGINT) AS n FROM counters WHERE name LIKE 'sku-%'";
    number(db, sql, []).await
}

fn spawn(role: &str, url: &DatabaseUrl, nats: &Nats) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "child", "--nocapture"])
        .env(ROLE, role)
        .env(DATABASE, url.to_string())
        .env(NATS, nats.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program runs")
}

/// kill -9 of both services and of the broker under load, started again at once and after a while.
async fn kills(engine: Engine) {
    let Some(mut pair) = Pair::start(engine).await else {
        return;
    };
    pair.flows(100).await;
    for side in [0, 1] {
        pair.kill(side);
        pair.restart(side);
        pair.flows(100).await;
    }
    // The consumer stays away while events are made; then both services and the broker go at the same time.
    pair.kill(1);
    let publisher = pair.open(0).await;
    let before = value(&publisher, "committed").await;
    within(SETTLED_WITHIN, "events are made", || async {
        match value(&publisher, "committed").await {
            now if now >= before + 300 => Ok(()),
            now => Err(now - before),
        }
    })
    .await;
    pair.restart(1);
    pair.flows(50).await;
    pair.nats.kill();
    pair.kill(0);
    pair.kill(1);
    pair.nats.restart().await;
    pair.restart(0);
    pair.restart(1);
    pair.settles().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_lose_and_repeat_nothing_on_sqlite() {
    kills(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_lose_and_repeat_nothing_on_postgres() {
    kills(Engine::Postgres).await;
}

/// The broker takes the consumer's events for lost and delivers them again; the consumer wakes up with the old ones in hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_sleeps_past_the_acknowledgement_wait_wakes_up_in_order() {
    let pair = Pair::start(Engine::Sqlite).await.expect("always there");
    pair.flows(100).await;
    pair.signal(1, "STOP");
    let slept = Instant::now();
    within(
        SETTLED_WITHIN,
        "the acknowledgement wait is over",
        || async {
            match slept.elapsed() {
                long if long > Duration::from_secs(11) => Ok(()),
                short => Err(short),
            }
        },
    )
    .await;
    pair.signal(1, "CONT");
    pair.settles().await;
}

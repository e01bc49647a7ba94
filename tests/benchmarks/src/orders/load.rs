//! Buyers who buy as fast as they are served.

use std::time::{Duration, Instant};

use crate::machine;
use futures::{
    future::join_all,
    stream::{self, StreamExt},
};
use kit::{
    Engine, World,
    rest::Rest,
    shop::{Customer, Order, Status, an_order},
    wait::until,
};

/// Products that the buyers choose from.
const PRODUCTS: usize = 16;
/// Enough units of each for every run.
const ON_HAND: i64 = 100_000_000;
/// Logins at the same time while buyers are made: a password hash takes a whole core.
const LOGINS: usize = 4;
/// `Prefer: wait`: longer than any order takes.
const WAIT_S: u32 = 50;
/// The mesh is at rest when its commits did not move for so long.
const REST: Duration = Duration::from_secs(1);
/// Part of a run that goes before it without being measured.
const WARM_UP_PART: u32 = 4;

/// What one run measured.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) buyers: usize,
    pub(crate) length: Duration,
    /// From POST to CONFIRMED of each order that was confirmed within the run, shortest first.
    pub(crate) latencies: Vec<Duration>,
    /// Answers that were no confirmed order.
    pub(crate) failures: usize,
    /// Commits that reached a service's database file or cluster, per order.
    pub(crate) commits_per_order: f64,
    /// Times that PostgreSQL made its log durable, per order.
    pub(crate) wal_syncs_per_order: Option<f64>,
}

/// Puts the products on sale that the buyers buy.
pub(crate) async fn stock_up(world: &World) -> Vec<String> {
    let mut skus = Vec::new();
    for number in 0..PRODUCTS {
        let sku = format!("bench-{number}");
        skus.push(world.product(&sku, 1250, ON_HAND).await);
    }
    skus
}

/// Lets this many buyers buy for this long.
pub(crate) async fn run(
    world: &World,
    engine: Engine,
    skus: &[String],
    buyers: usize,
    length: Duration,
) -> Load {
    let customers: Vec<_> = stream::iter(0..buyers)
        .map(|number| async move { world.customer(&format!("buyer{number}")).await })
        .buffer_unordered(LOGINS)
        .collect()
        .await;
    buy_for(&customers, skus, length / WARM_UP_PART).await;
    let before = at_rest(world, engine).await;
    let (latencies, failures) = buy_for(&customers, skus, length).await;
    let after = at_rest(world, engine).await;

    let orders = (latencies.len() + failures).max(1) as f64;
    let in_time = |(spent, _): &&(Duration, Duration)| *spent <= length;
    let mut measured: Vec<_> = latencies
        .iter()
        .filter(in_time)
        .map(|(_, latency)| *latency)
        .collect();
    measured.sort_unstable();
    Load {
        buyers,
        length,
        latencies: measured,
        failures,
        commits_per_order: (after.commits - before.commits) / orders,
        wal_syncs_per_order: Option::zip(after.wal_syncs, before.wal_syncs)
            .map(|(after, before)| (after - before) / orders),
    }
}

/// Every buyer buys one thing after the other until the time is over. Answers when each order was confirmed,
/// from the start of the run, and how long it took; and how many failed.
async fn buy_for(
    customers: &[Customer],
    skus: &[String],
    length: Duration,
) -> (Vec<(Duration, Duration)>, usize) {
    let began = Instant::now();
    let buyers = customers
        .iter()
        .enumerate()
        .map(|(number, customer)| async move {
            let (mut confirmed, mut failures) = (Vec::new(), 0);
            for turn in 0.. {
                if began.elapsed() >= length {
                    break;
                }
                let sku = &skus[(number + turn) % skus.len()];
                let posted = Instant::now();
                let answer = customer.send(&an_order().line(sku, 1).wait(WAIT_S)).await;
                let is_confirmed = answer.status == 201
                    && answer.read::<Order>().status == Status::Confirmed.name();
                if is_confirmed {
                    confirmed.push((began.elapsed(), posted.elapsed()));
                } else {
                    failures += 1;
                }
            }
            (confirmed, failures)
        });
    let all = join_all(buyers).await;
    let failures = all.iter().map(|(_, failures)| failures).sum();
    (
        all.into_iter()
            .flat_map(|(confirmed, _)| confirmed)
            .collect(),
        failures,
    )
}

/// Counters of what went to disk.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counters {
    commits: f64,
    wal_syncs: Option<f64>,
}

/// The counters, once they stand still: the last sagas have finished.
async fn at_rest(world: &World, engine: Engine) -> Counters {
    until("the mesh comes to rest", || async {
        let before = commits(world).await;
        tokio::time::sleep(REST).await;
        let after = commits(world).await;
        // A few commits a second are housekeeping.
        if after - before <= 5.0 {
            Ok(())
        } else {
            Err(after - before)
        }
    })
    .await;
    Counters {
        commits: commits(world).await,
        wal_syncs: (engine == Engine::Postgres).then(kit::wal_syncs),
    }
}

/// Commits of all services together since they started.
async fn commits(world: &World) -> f64 {
    let mut sum = 0.0;
    for admin in world
        .status()
        .processes
        .into_iter()
        .filter_map(|process| process.admin)
    {
        sum += machine::commits(&Rest::new(format!("http://{admin}"))).await;
    }
    sum
}

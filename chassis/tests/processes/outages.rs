//! Outages of 5 and of 30 seconds under load: those who are left go on, and what was missed is made up for.

use std::time::Duration;

use kit::{Engine, database_url};

use crate::{
    cluster::Cluster,
    pair::{CONSUMER, PUBLISHER, Pair},
};

/// How long somebody is away. The pause is what is tested.
const OUTAGES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];

/// Runs a test on both engines. Each is mostly waiting.
macro_rules! on_both_engines {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(kit::Engine::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(kit::Engine::Postgres).await; })*
        }
    };
}

on_both_engines! {
    the_broker_is_away_for_5_and_for_30_seconds
    the_consumer_is_away_for_5_and_for_30_seconds
    the_publisher_is_away_for_5_and_for_30_seconds
}

async fn the_broker_is_away_for_5_and_for_30_seconds(engine: Engine) {
    let Some(mut pair) = Pair::start(engine).await else {
        return;
    };
    for outage in OUTAGES {
        pair.flows(100).await;
        pair.nats.kill();
        tokio::time::sleep(outage).await;
        pair.publishes(10).await;
        pair.nats.restart().await;
    }
    pair.settles(0).await;
}

async fn the_consumer_is_away_for_5_and_for_30_seconds(engine: Engine) {
    away(engine, CONSUMER).await;
}

async fn the_publisher_is_away_for_5_and_for_30_seconds(engine: Engine) {
    away(engine, PUBLISHER).await;
}

async fn away(engine: Engine, side: usize) {
    let Some(mut pair) = Pair::start(engine).await else {
        return;
    };
    for outage in OUTAGES {
        pair.flows(100).await;
        pair.kill(side);
        tokio::time::sleep(outage).await;
        pair.restart(side);
    }
    pair.settles(0).await;
}

/// kill -9 of the postmaster: every connection breaks, and the server recovers from its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_killed_and_comes_back() {
    // Only where tests have PostgreSQL at all.
    if database_url(Engine::Postgres).is_none() {
        return;
    }
    let Some(mut cluster) = Cluster::start().await else {
        return;
    };
    let mut pair =
        Pair::start_on([cluster.database("publisher"), cluster.database("consumer")]).await;
    for outage in [Duration::ZERO, OUTAGES[0]] {
        pair.flows(100).await;
        cluster.kill();
        tokio::time::sleep(outage).await;
        cluster.restart().await;
    }
    pair.settles(0).await;
}

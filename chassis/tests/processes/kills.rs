//! kill -9 of services and broker, started again at once or when a while has gone by.

use kit::Engine;

use crate::pair::{CONSUMER, PUBLISHER, Pair};

/// kill -9 of both services and of the broker under load.
async fn kills(engine: Engine) {
    let Some(mut pair) = Pair::start(engine).await else {
        return;
    };
    pair.flows(100).await;
    for side in [PUBLISHER, CONSUMER] {
        pair.kill(side);
        pair.restart(side);
        pair.flows(100).await;
    }
    // The consumer stays away while events are made; then both services and the broker go at the same time.
    pair.kill(CONSUMER);
    pair.publishes(300).await;
    pair.restart(CONSUMER);
    pair.flows(50).await;
    pair.nats.kill();
    pair.kill(PUBLISHER);
    pair.kill(CONSUMER);
    pair.nats.restart().await;
    pair.restart(PUBLISHER);
    pair.restart(CONSUMER);
    pair.settles(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_lose_and_repeat_nothing_on_sqlite() {
    kills(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_processes_lose_and_repeat_nothing_on_postgres() {
    kills(Engine::Postgres).await;
}

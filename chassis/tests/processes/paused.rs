//! Processes that are stopped (SIGSTOP) and wake up again.

use std::time::{Duration, Instant};

use kit::{Engine, wait::within};

use crate::pair::{CONSUMER, PUBLISHER, Pair, REPLICA, SETTLED_WITHIN, effects_by};

/// The broker takes the consumer's events for lost and delivers them again; the consumer wakes up with the old ones in hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_sleeps_past_the_acknowledgement_wait_wakes_up_in_order() {
    let mut pair = Pair::start(Engine::Sqlite).await.expect("always there");
    pair.flows(100).await;
    pair.signal(CONSUMER, "STOP");
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
    pair.signal(CONSUMER, "CONT");
    pair.settles(0).await;
}

/// Its replica takes over, although the sleeper holds the consumer's lock; what it does when it wakes up has no effect.
async fn a_replica_takes_over(engine: Engine) {
    let Some(mut pair) = Pair::start(engine).await else {
        return;
    };
    pair.flows(100).await;
    pair.add_replica();
    let db = pair.open(CONSUMER).await;
    if engine == Engine::Sqlite {
        // A process that is stopped within a commit holds the file's lock, and nobody can write: not what is tested.
        pair.kill(PUBLISHER);
        pair.drains().await;
    }
    let (first, second) = match effects_by(&db, REPLICA).await {
        0 => (CONSUMER, REPLICA),
        _ => (REPLICA, CONSUMER),
    };
    pair.signal(first, "STOP");
    if engine == Engine::Sqlite {
        pair.restart(PUBLISHER);
    }
    let before = effects_by(&db, second).await;
    within(SETTLED_WITHIN, "the replica consumes", || async {
        match effects_by(&db, second).await {
            now if now >= before + 100 => Ok(()),
            now => Err(now),
        }
    })
    .await;
    pair.signal(first, "CONT");
    pair.flows(300).await;
    pair.settles(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_from_one_that_is_stopped_on_sqlite() {
    a_replica_takes_over(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over_from_one_that_is_stopped_on_postgres() {
    a_replica_takes_over(Engine::Postgres).await;
}

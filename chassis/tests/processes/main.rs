//! A publisher and consumers as processes of their own, which are killed, paused and started again while events flow. What
//! took effect is read from the consumer's database, in which each effect checks that it is the next of its aggregate.

mod cluster;
mod deadly;
mod kills;
mod outages;
mod pair;
mod paused;
#[path = "../support/mod.rs"]
#[allow(dead_code)]
mod support;

/// What a child does until it is killed; nothing where nobody says what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    pair::child().await;
}

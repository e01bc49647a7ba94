//! What the broker had acknowledged and lost, or somebody deleted by hand: it is sent again, and takes effect once.

#[allow(dead_code)]
mod support;

use kit::{Engine, wait::until};
use support::{
    all_sent, copy, database,
    mesh::{Mesh, adjust, counting, skus},
    reaches, value,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_under_a_live_connection_is_filled_again() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db).await;
    mesh.consume(&db, counting("count", &db)).await;
    for _ in 0..10 {
        adjust(&db, "mug", 1).await.expect("kept");
    }
    reaches(&db, "count-mug", 10).await;
    mesh.jetstream
        .delete_stream("INVENTORY")
        .await
        .expect("deleted");
    adjust(&db, "mug", 1).await.expect("kept");
    reaches(&db, "count-mug", 11).await;
    mesh.consume(&db, counting("audit", &db)).await;
    adjust(&db, "mug", 1).await.expect("kept");
    reaches(&db, "audit-mug", 12).await;
    assert_eq!(value(&db, "count-mug").await, 12);
}

/// A purge breaks no connection and leaves the stream's end where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_purged_by_hand_is_filled_again() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db).await;
    mesh.consume(&db, counting("count", &db)).await;
    for _ in 0..10 {
        adjust(&db, "mug", 1).await.expect("kept");
    }
    reaches(&db, "count-mug", 10).await;
    all_sent(&db).await;
    let stream = mesh.jetstream.get_stream("INVENTORY").await.expect("there");
    stream.purge().await.expect("purged");
    // Nobody has had them who comes now.
    mesh.consume(&db, counting("audit", &db)).await;
    reaches(&db, "audit-mug", 10).await;
    assert_eq!(value(&db, "count-mug").await, 10);
}

/// Deletes messages of the stream, as `nats stream rmm` does.
async fn remove(mesh: &Mesh, sequences: impl IntoIterator<Item = u64>) {
    let stream = mesh.jetstream.get_stream("INVENTORY").await.expect("there");
    for sequence in sequences {
        stream.delete_message(sequence).await.expect("deleted");
    }
}

/// Waits until the stream holds `messages`, of which the last is at `last`.
async fn holds(mesh: &Mesh, messages: u64, last: u64) {
    until("the stream is complete", || async {
        let stream = mesh.jetstream.get_stream("INVENTORY").await;
        let state = stream.expect("there").cached_info().state.clone();
        match (state.messages, state.last_sequence) {
            found if found == (messages, last) => Ok(()),
            found => Err(found),
        }
    })
    .await;
}

async fn messages_that_are_deleted_in_mid_stream_come_again(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let mesh = Mesh::start().await;
    let relay = mesh.relay(&db).await;
    mesh.consume(&db, counting("count", &db)).await;
    for _ in 0..10 {
        adjust(&db, "mug", 1).await.expect("kept");
    }
    reaches(&db, "count-mug", 10).await;
    all_sent(&db).await;
    // What is no event of ours is nobody's to send again.
    let foreign = mesh.jetstream.publish("inventory.foreign", "".into()).await;
    foreign.expect("sent").await.expect("stored");
    adjust(&db, "mug", 1).await.expect("kept");
    reaches(&db, "count-mug", 11).await;
    all_sent(&db).await;
    remove(&mesh, [4, 7, 11]).await;
    holds(&mesh, 11, 14).await;
    // Nobody has had them who comes now.
    mesh.consume(&db, counting("audit", &db)).await;
    reaches(&db, "audit-mug", 11).await;

    // Also of those that were sent again, and while nobody looked.
    all_sent(&db).await;
    relay.cancel();
    remove(&mesh, [5, 13]).await;
    mesh.relay(&db).await;
    holds(&mesh, 11, 16).await;
    mesh.consume(&db, counting("late", &db)).await;
    reaches(&db, "late-mug", 11).await;
    assert_eq!(value(&db, "count-mug").await, 11);
    assert_eq!(value(&db, "audit-mug").await, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_deleted_in_mid_stream_come_again_on_sqlite() {
    messages_that_are_deleted_in_mid_stream_come_again(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_deleted_in_mid_stream_come_again_on_postgres() {
    messages_that_are_deleted_in_mid_stream_come_again(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    mesh.relay(&db).await;
    mesh.consume(&db, counting("count", &db)).await;
    let skus = skus(7);
    for round in 0..3 {
        for sku in skus.iter().cycle().take(28) {
            adjust(&db, sku, 1).await.expect("kept");
        }
        match round {
            0 => mesh.nats.kill(),
            1 => mesh.nats.restart().await,
            _ => {}
        }
    }
    for sku in &skus {
        reaches(&db, &format!("count-{sku}"), 12).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_lost_is_filled_again() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    mesh.relay(&db).await;
    mesh.consume(&db, counting("count", &db)).await;
    for _ in 0..20 {
        adjust(&db, "mug", 1).await.expect("kept");
    }
    reaches(&db, "count-mug", 20).await;
    mesh.nats.restart_empty().await;
    adjust(&db, "mug", 1).await.expect("kept");
    reaches(&db, "count-mug", 21).await;
    // The old ones are back too, for whoever has not seen them; who has, drops them.
    mesh.consume(&db, counting("audit", &db)).await;
    reaches(&db, "audit-mug", 21).await;
    assert_eq!(value(&db, "count-mug").await, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_lost_its_end_is_completed_and_no_consumer_skips() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    mesh.relay(&db).await;
    mesh.consume(&db, counting("count", &db)).await;
    for _ in 0..10 {
        adjust(&db, "mug", 1).await.expect("kept");
    }
    reaches(&db, "count-mug", 10).await;
    mesh.nats.kill();
    let backup = tempfile::tempdir().expect("a temporary folder");
    copy(&mesh.nats.store(), backup.path());
    mesh.nats.restart().await;
    for _ in 0..10 {
        adjust(&db, "mug", 1).await.expect("kept");
    }
    reaches(&db, "count-mug", 20).await;
    // Positions survive on their own disk, the stream's end does not: the consumer stands beyond its stream.
    mesh.nats.kill();
    let positions = tempfile::tempdir().expect("a temporary folder");
    copy(&mesh.nats.store(), positions.path());
    std::fs::remove_dir_all(mesh.nats.store()).expect("removed");
    copy(backup.path(), &mesh.nats.store());
    restore_positions(positions.path(), &mesh.nats.store());
    mesh.nats.restart().await;

    adjust(&db, "cup", 1).await.expect("kept");
    reaches(&db, "count-cup", 1).await;
    mesh.consume(&db, counting("audit", &db)).await;
    reaches(&db, "audit-mug", 20).await;
    assert_eq!(value(&db, "count-mug").await, 20);
}

/// Puts the consumers' folders (`obs`) of one store over those of another.
fn restore_positions(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_name() == "obs" {
            copy(&entry.path(), &target);
        } else if entry.path().is_dir() {
            restore_positions(&entry.path(), &target);
        }
    }
}

//! Events from an outbox through a real broker to a consumer's effect, and what becomes of those that fail.

#[allow(dead_code)]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use chassis::{
    Classify, Code,
    db::{Db, Error},
    events::{Consumer, Delivery, consumer},
    outbox::{self, Envelope, Relay},
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{
    Engine, Nats,
    wait::{until, within},
};
use support::{add, copy, database, number, value};
use tokio_util::sync::CancellationToken;

/// A failure with the code that a test chose.
#[derive(Debug, thiserror::Error)]
#[error("as the test wants")]
struct Failing(Code);

impl Classify for Failing {
    fn code(&self) -> Code {
        self.0
    }

    fn reason(&self) -> &'static str {
        "TEST"
    }
}

impl From<Error> for Failing {
    fn from(error: Error) -> Self {
        Self(error.code())
    }
}

/// Longest wait for the event behind one that cannot be handled.
const NEXT_WITHIN: Duration = Duration::from_secs(5);

struct Mesh {
    nats: Nats,
    jetstream: async_nats::jetstream::Context,
    cancel: CancellationToken,
}

impl Mesh {
    async fn start() -> Self {
        // Shown for a test that fails. A second test of this process finds it set up.
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let nats = Nats::start().await;
        let client = async_nats::connect(nats.url()).await.expect("connects");
        Self {
            nats,
            jetstream: async_nats::jetstream::new(client),
            cancel: CancellationToken::new(),
        }
    }

    fn relay(&self, db: &Db) {
        tokio::spawn(
            Relay::new(db.clone(), self.jetstream.clone(), "inventory").run(self.cancel.clone()),
        );
    }

    fn consume(&self, db: &Db, consumer: Consumer) {
        let (db, jetstream, cancel) = (db.clone(), self.jetstream.clone(), self.cancel.clone());
        tokio::spawn(async move { consumer.run(db, jetstream, "ordering", cancel).await });
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

async fn adjust(db: &Db, sku: &str, on_hand: i64) {
    let event = StockAdjusted {
        sku: sku.into(),
        on_hand,
    };
    let event = &event;
    db.write(|tx| async move { outbox::append(&tx, event).await })
        .await
        .expect("kept");
}

/// Adds the event's amount to the sku's counter, once for each event.
fn counting(db: &Db) -> Consumer {
    let db = db.clone();
    consumer("count", move |delivery: Delivery<StockAdjusted>| {
        let db = db.clone();
        async move {
            let message = &delivery.message;
            db.claim(&delivery, |tx| async move {
                add(&tx, &message.sku, message.on_hand).await
            })
            .await
        }
    })
}

async fn reaches(db: &Db, name: &str, wanted: i64) {
    until(name, || async {
        match value(db, name).await {
            found if found == wanted => Ok(()),
            found => Err(found),
        }
    })
    .await;
}

async fn effect_once(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let mesh = Mesh::start().await;
    mesh.relay(&db);
    mesh.consume(&db, counting(&db));
    for _ in 0..50 {
        adjust(&db, "mug", 1).await;
        adjust(&db, "cup", 2).await;
    }
    reaches(&db, "mug", 50).await;
    reaches(&db, "cup", 100).await;
    until("all rows are marked as sent", || async {
        match number(
            &db,
            "SELECT COUNT(*) AS n FROM outbox WHERE sent_at_us IS NULL",
            [],
        )
        .await
        {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
    // Every event again, past the broker's window for duplicates: the inbox is the guarantee.
    let mut stream = mesh.jetstream.get_stream("INVENTORY").await.expect("there");
    let last = stream.info().await.expect("info").state.last_sequence;
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.expect("there");
        let mut headers = message.headers;
        headers.insert("Nats-Msg-Id", format!("again-{sequence}"));
        let ack = mesh
            .jetstream
            .publish_with_headers(message.subject, headers, message.payload)
            .await;
        ack.expect("sent").await.expect("stored");
    }
    adjust(&db, "mug", 1).await;
    adjust(&db, "cup", 1).await;
    reaches(&db, "mug", 51).await;
    reaches(&db, "cup", 101).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_its_effect_once_on_sqlite() {
    effect_once(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_has_its_effect_once_on_postgres() {
    effect_once(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_carry_cloudevents_headers() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db);
    adjust(&db, "mug", 7).await;
    let stream = until("the stream is there", || {
        mesh.jetstream.get_stream("INVENTORY")
    })
    .await;
    let message = until("the event is there", || stream.get_raw_message(1)).await;
    let header = |name: &str| {
        message
            .headers
            .get(name)
            .map(|value| value.as_str().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(message.subject.as_str(), "inventory.stock.adjusted.v1");
    assert_eq!(header("Nats-Msg-Id"), header("ce-id"));
    assert_eq!(header("ce-specversion"), "1.0");
    assert_eq!(header("ce-source"), "/caravan/inventory");
    assert_eq!(header("ce-type"), "caravan.inventory.v1.StockAdjusted");
    assert_eq!(header("ce-subject"), "mug");
    assert_eq!(header("content-type"), "application/protobuf");
    assert!(!header("ce-time").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_aggregate_stay_in_order_through_a_failing_try() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db);
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let failed = Arc::new(AtomicBool::new(false));
    let handler = {
        let (seen, failed) = (seen.clone(), failed.clone());
        move |delivery: Delivery<StockAdjusted>| {
            let (seen, failed) = (seen.clone(), failed.clone());
            async move {
                if delivery.message.on_hand == 3 && !failed.swap(true, Relaxed) {
                    return Err(Failing(Code::Unavailable));
                }
                seen.lock()
                    .expect("not poisoned")
                    .push(delivery.message.on_hand);
                Ok(())
            }
        }
    };
    mesh.consume(&db, consumer("order", handler));
    for amount in 1..=20 {
        adjust(&db, "mug", amount).await;
    }
    until("all have come", || async {
        let seen = seen.lock().expect("not poisoned").clone();
        if seen.len() >= 20 { Ok(()) } else { Err(seen) }
    })
    .await;
    assert_eq!(
        *seen.lock().expect("not poisoned"),
        (1..=20).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_handled_becomes_a_dead_letter_and_the_next_one_goes_on() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db);
    let counted = db.clone();
    let handler = move |delivery: Delivery<StockAdjusted>| {
        let db = counted.clone();
        async move {
            if delivery.message.sku == "poison" {
                return Err(Failing(Code::FailedPrecondition));
            }
            db.claim(
                &delivery,
                |tx| async move { Ok(add(&tx, "good", 1).await?) },
            )
            .await
        }
    };
    mesh.consume(&db, consumer("poisoned", handler));
    for sku in ["a", "a", "poison", "a", "b"] {
        adjust(&db, sku, 1).await;
    }
    within(NEXT_WITHIN, "those behind it are handled", || async {
        match value(&db, "good").await {
            4 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    let sql = "SELECT COUNT(*) AS n FROM dead_letters WHERE consumer = 'ordering-poisoned' \
               AND aggregate_id = 'poison' AND code = 'FAILED_PRECONDITION'";
    until("the dead letter is there", || async {
        match number(&db, sql, []).await {
            1 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_handler_and_a_foreign_message_cost_nobody_else_anything() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db);
    let counted = db.clone();
    let handler = move |delivery: Delivery<StockAdjusted>| {
        assert!(delivery.message.on_hand != 13, "as the test wants");
        let db = counted.clone();
        async move {
            db.claim(&delivery, |tx| async move { add(&tx, "good", 1).await })
                .await
        }
    };
    mesh.consume(&db, consumer("shaky", handler));
    // One aggregate, so all of them share a lane.
    for amount in [1, 13, 2] {
        adjust(&db, "mug", amount).await;
    }
    reaches(&db, "good", 2).await;
    let foreign = mesh
        .jetstream
        .publish("inventory.stock.adjusted.v1", "not ours".into())
        .await;
    foreign.expect("sent").await.expect("stored");
    let sql =
        "SELECT COUNT(*) AS n FROM dead_letters WHERE code IN ('INTERNAL', 'INVALID_ARGUMENT')";
    until("both are dead letters", || async {
        match number(&db, sql, []).await {
            2 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_under_a_live_connection_is_filled_again() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db);
    mesh.consume(&db, counting(&db));
    for _ in 0..10 {
        adjust(&db, "mug", 1).await;
    }
    reaches(&db, "mug", 10).await;
    mesh.jetstream
        .delete_stream("INVENTORY")
        .await
        .expect("deleted");
    adjust(&db, "mug", 1).await;
    reaches(&db, "mug", 11).await;
    mesh.consume(&db, auditing(&db));
    adjust(&db, "mug", 1).await;
    reaches(&db, "audit-mug", 12).await;
    assert_eq!(value(&db, "mug").await, 12);
}

/// A purge breaks no connection and leaves the stream's end where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_purged_by_hand_is_filled_again() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mesh = Mesh::start().await;
    mesh.relay(&db);
    mesh.consume(&db, counting(&db));
    for _ in 0..10 {
        adjust(&db, "mug", 1).await;
    }
    reaches(&db, "mug", 10).await;
    let sql = "SELECT COUNT(*) AS n FROM outbox WHERE sent_at_us IS NULL";
    until("all rows are marked as sent", || async {
        match number(&db, sql, []).await {
            0 => Ok(()),
            left => Err(left),
        }
    })
    .await;
    let stream = mesh.jetstream.get_stream("INVENTORY").await.expect("there");
    stream.purge().await.expect("purged");
    // Nobody has had them who comes now.
    mesh.consume(&db, auditing(&db));
    reaches(&db, "audit-mug", 10).await;
    assert_eq!(value(&db, "mug").await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_appended_together_say_who_wrote_them() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let envelopes: Vec<_> = (1..=5)
        .map(|on_hand| {
            let sku = "mug".into();
            Envelope::of(&StockAdjusted { sku, on_hand }).expect("an event")
        })
        .collect();
    let envelopes = &envelopes;
    db.write(|tx| async move { outbox::append_all(&tx, envelopes.iter().collect()).await })
        .await
        .expect("kept");
    // A relay would leave those of another process lying for two seconds.
    let sql = "SELECT COUNT(*) AS n FROM outbox WHERE origin IS NOT NULL";
    assert_eq!(number(&db, sql, []).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    mesh.relay(&db);
    mesh.consume(&db, counting(&db));
    let written = Arc::new(AtomicUsize::new(0));
    for round in 0..3 {
        for _ in 0..30 {
            adjust(
                &db,
                &format!("sku-{}", written.fetch_add(1, Relaxed) % 7),
                1,
            )
            .await;
        }
        match round {
            0 => mesh.nats.kill(),
            1 => mesh.nats.restart().await,
            _ => {}
        }
    }
    until("every event has had its effect", || async {
        match number(&db, "SELECT COUNT(*) AS n FROM inbox", []).await {
            90 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(
        number(
            &db,
            "SELECT CAST(SUM(value) AS BIGINT) AS n FROM counters",
            []
        )
        .await,
        90
    );
}

/// Every event once more, for a consumer that comes later.
fn auditing(db: &Db) -> Consumer {
    let db = db.clone();
    consumer("audit", move |delivery: Delivery<StockAdjusted>| {
        let db = db.clone();
        async move {
            let name = format!("audit-{}", delivery.message.sku);
            let name = &name;
            db.claim(&delivery, |tx| async move { add(&tx, name, 1).await })
                .await
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_lost_is_filled_again() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    mesh.relay(&db);
    mesh.consume(&db, counting(&db));
    for _ in 0..20 {
        adjust(&db, "mug", 1).await;
    }
    reaches(&db, "mug", 20).await;
    mesh.nats.restart_empty().await;
    adjust(&db, "mug", 1).await;
    reaches(&db, "mug", 21).await;
    // The old ones are back too, for whoever has not seen them; who has, drops them.
    mesh.consume(&db, auditing(&db));
    reaches(&db, "audit-mug", 21).await;
    assert_eq!(value(&db, "mug").await, 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_lost_its_end_is_completed_and_no_consumer_skips() {
    let (db, _url) = database(Engine::Sqlite).await.expect("always there");
    let mut mesh = Mesh::start().await;
    mesh.relay(&db);
    mesh.consume(&db, counting(&db));
    for _ in 0..10 {
        adjust(&db, "mug", 1).await;
    }
    reaches(&db, "mug", 10).await;
    mesh.nats.kill();
    let backup = tempfile::tempdir().expect("a temporary folder");
    copy(&mesh.nats.store(), backup.path());
    mesh.nats.restart().await;
    for _ in 0..10 {
        adjust(&db, "mug", 1).await;
    }
    reaches(&db, "mug", 20).await;
    // Positions survive on their own disk, the stream's end does not: the consumer stands beyond its stream.
    mesh.nats.kill();
    let positions = tempfile::tempdir().expect("a temporary folder");
    copy(&mesh.nats.store(), positions.path());
    std::fs::remove_dir_all(mesh.nats.store()).expect("removed");
    copy(backup.path(), &mesh.nats.store());
    restore_positions(positions.path(), &mesh.nats.store());
    mesh.nats.restart().await;

    adjust(&db, "cup", 1).await;
    reaches(&db, "cup", 1).await;
    mesh.consume(&db, auditing(&db));
    reaches(&db, "audit-mug", 20).await;
    assert_eq!(value(&db, "mug").await, 20);
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

//! Events from an outbox through a real broker to a consumer's effect, and what becomes of those that fail.

#[allow(dead_code)]
mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use chassis::{
    Classify, Code,
    db::Error,
    events::{Delivery, consumer},
    outbox::{self, Envelope},
};
use contracts::caravan::inventory::v1::StockAdjusted;
use kit::{
    Engine,
    wait::{until, within},
};
use support::{
    add, all_sent, database,
    mesh::{Mesh, adjust, counting},
    number, reaches, value,
};
use tokio::sync::Semaphore;

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

async fn effect_once(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let mesh = Mesh::start().await;
    mesh.relay(&db).await;
    mesh.consume(&db, counting("count", &db)).await;
    for _ in 0..50 {
        adjust(&db, "mug", 1).await.expect("kept");
        adjust(&db, "cup", 1).await.expect("kept");
    }
    reaches(&db, "count-mug", 50).await;
    reaches(&db, "count-cup", 50).await;
    all_sent(&db).await;
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
    adjust(&db, "mug", 1).await.expect("kept");
    adjust(&db, "cup", 1).await.expect("kept");
    reaches(&db, "count-mug", 51).await;
    reaches(&db, "count-cup", 51).await;
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
    mesh.relay(&db).await;
    adjust(&db, "mug", 7).await.expect("kept");
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
    mesh.relay(&db).await;
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
    mesh.consume(&db, consumer("order", handler)).await;
    for amount in 1..=20 {
        adjust(&db, "mug", amount).await.expect("kept");
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
    mesh.relay(&db).await;
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
    mesh.consume(&db, consumer("poisoned", handler)).await;
    for sku in ["a", "a", "poison", "a", "b"] {
        adjust(&db, sku, 1).await.expect("kept");
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
    mesh.relay(&db).await;
    let counted = db.clone();
    let handler = move |delivery: Delivery<StockAdjusted>| {
        assert!(delivery.message.on_hand != 13, "as the test wants");
        let db = counted.clone();
        async move {
            db.claim(&delivery, |tx| async move { add(&tx, "good", 1).await })
                .await
        }
    };
    mesh.consume(&db, consumer("shaky", handler)).await;
    // One aggregate, so all of them share a lane.
    for amount in [1, 13, 2] {
        adjust(&db, "mug", amount).await.expect("kept");
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

/// What an interrupted session left in hand is still this replica's.
async fn what_is_in_hand_is_handled_after_an_interruption(engine: Engine) {
    let Some((db, _url)) = database(engine).await else {
        return;
    };
    let mesh = Mesh::start().await;
    mesh.relay(&db).await;
    let (gate, in_hand) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let (opened, counter, effects) = (gate.clone(), in_hand.clone(), db.clone());
    let slow = consumer("slow", move |delivery: Delivery<StockAdjusted>| {
        let (gate, in_hand, db) = (opened.clone(), counter.clone(), effects.clone());
        async move {
            in_hand.fetch_add(1, Relaxed);
            let _passed = gate.acquire().await;
            let sku = &delivery.message.sku;
            db.claim(&delivery, |tx| async move { add(&tx, sku, 1).await })
                .await
        }
    });
    mesh.consume(&db, slow).await;
    let in_hands = async |count: u64| {
        until("the events are in hand", || async {
            match in_hand.load(Relaxed) {
                now if now >= count => Ok(()),
                now => Err(now),
            }
        })
        .await;
    };
    adjust(&db, "before", 1).await.expect("kept");
    in_hands(1).await;
    let stream = mesh.jetstream.get_stream("INVENTORY").await.expect("there");
    let deleted = stream.delete_consumer("ordering-slow").await;
    deleted.expect("it was there");
    adjust(&db, "after", 1).await.expect("kept");
    in_hands(2).await;
    gate.add_permits(1);
    reaches(&db, "before", 1).await;
    reaches(&db, "after", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_hand_is_handled_after_an_interruption_on_sqlite() {
    what_is_in_hand_is_handled_after_an_interruption(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_hand_is_handled_after_an_interruption_on_postgres() {
    what_is_in_hand_is_handled_after_an_interruption(Engine::Postgres).await;
}

//! Deliveries that come twice, late, in another order or not at all, given to a consumer by the broker itself.

#[allow(dead_code)]
mod support;

use std::time::Duration;

use async_nats::jetstream::{AckKind, consumer::PullConsumer, stream::Stream};
use futures::StreamExt as _;
use kit::{Engine, wait::until};
use support::{
    database,
    mesh::{Ledger, Mesh, adjust, skus},
    number,
};

const AGGREGATES: usize = 4;
const ROUNDS: i64 = 60;

async fn stream(mesh: &Mesh) -> Stream {
    until("the stream is there", || {
        mesh.jetstream.get_stream("INVENTORY")
    })
    .await
}

/// Every event of the stream once more, the last one first, past the broker's window for duplicates.
async fn send_again_backwards(mesh: &Mesh, stream: &Stream) {
    let last = stream.get_info().await.expect("info").state.last_sequence;
    for sequence in (1..=last).rev() {
        let message = stream.get_raw_message(sequence).await.expect("there");
        let mut headers = message.headers;
        headers.insert("Nats-Msg-Id", format!("again-{sequence}"));
        let ack = mesh
            .jetstream
            .publish_with_headers(message.subject, headers, message.payload)
            .await;
        ack.expect("sent").await.expect("stored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_events_that_come_again_in_another_order_have_no_effect() {
    let (publisher, _a) = database(Engine::Sqlite).await.expect("always there");
    let (receiver, _b) = database(Engine::Sqlite).await.expect("always there");
    let (mesh, ledger, skus) = (Mesh::start().await, Ledger::default(), skus(AGGREGATES));
    mesh.relay(&publisher).await;
    mesh.consume(&receiver, ledger.consumer("ledger", &receiver))
        .await;
    for round in 1..=ROUNDS {
        if round % 20 == 0 {
            ledger.reads(&skus, round - 1).await;
            send_again_backwards(&mesh, &stream(&mesh).await).await;
        }
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
    }
    ledger.reads(&skus, ROUNDS).await;
    let handled = number(&receiver, "SELECT COUNT(*) AS n FROM inbox", []).await;
    assert_eq!(handled, ROUNDS * AGGREGATES as i64);
}

/// Takes a few of the consumer's events away from it. They come back at once, later, or when their time is over: behind others
/// of their aggregate.
async fn rob(durable: &PullConsumer, how: Option<AckKind>) {
    let taken = durable
        .batch()
        .max_messages(3)
        .expires(Duration::from_millis(300))
        .messages()
        .await;
    let Ok(mut taken) = taken else { return };
    while let Some(Ok(message)) = taken.next().await {
        if let Some(kind) = how {
            // The consumer may have made its durable anew meanwhile.
            let _ = message.ack_with(kind).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_delivered_elsewhere_come_in_order() {
    let (publisher, _a) = database(Engine::Sqlite).await.expect("always there");
    let (receiver, _b) = database(Engine::Sqlite).await.expect("always there");
    let (mesh, ledger, skus) = (Mesh::start().await, Ledger::default(), skus(AGGREGATES));
    mesh.relay(&publisher).await;
    mesh.consume(&receiver, ledger.consumer("ledger", &receiver))
        .await;
    let stream = stream(&mesh).await;
    let mut round = 0;
    while round < ROUNDS {
        round += 1;
        for sku in &skus {
            adjust(&publisher, sku, round).await.expect("kept");
        }
        let how = match round {
            10 => Some(AckKind::Nak(None)),
            25 => Some(AckKind::Nak(Some(Duration::from_secs(1)))),
            // Nobody answers for them.
            40 => None,
            _ => continue,
        };
        let durable = until("the durable is there", || {
            stream.get_consumer("ordering-ledger")
        })
        .await;
        round += 1;
        let more = async {
            for sku in &skus {
                adjust(&publisher, sku, round).await.expect("kept");
            }
        };
        // What is taken is published while somebody waits for it.
        tokio::join!(rob(&durable, how), more);
    }
    ledger.reads(&skus, ROUNDS).await;
}

//! One round of publishing: one event in flight per aggregate, many aggregates at once.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use async_nats::{
    HeaderMap,
    jetstream::{self, publish::PublishAck},
};
use futures::{StreamExt as _, stream::FuturesUnordered};
use sea_orm::FromQueryResult;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::{clock, events::header};

/// Most aggregates that are published at the same time.
const MAX_AGGREGATES_IN_FLIGHT: usize = 256;
/// Longest wait for the broker's acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// One unsent row.
#[derive(Debug, FromQueryResult)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) event_id: Uuid,
    pub(super) event_type: String,
    pub(super) subject: String,
    pub(super) aggregate_id: String,
    pub(super) payload: Vec<u8>,
    pub(super) transient: Option<Vec<u8>>,
    pub(super) traceparent: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) occurred_at_us: i64,
    /// The process that wrote it.
    pub(super) origin: Option<i64>,
    /// Where the broker had it, negative, if it lost it.
    pub(super) stream_seq: Option<i64>,
}

/// What a round of publishing came to.
pub(super) struct Round {
    /// Rows that the broker has, with their sequence in the stream.
    pub(super) sent: Vec<(i64, u64)>,
    /// The lowest sequence that the broker gave to an event that it did not have yet.
    pub(super) lowest_new: Option<u64>,
    pub(super) failed: bool,
}

/// Publishes rows: those of one aggregate one after another, up to the first that fails.
pub(super) async fn publish(
    jetstream: &jetstream::Context,
    service: &str,
    rows: Vec<Row>,
) -> Round {
    let mut aggregates: HashMap<String, VecDeque<Row>> = HashMap::new();
    let mut order = Vec::new();
    for row in rows {
        let queue = aggregates
            .entry(row.aggregate_id.clone())
            .or_insert_with(|| {
                order.push(row.aggregate_id.clone());
                VecDeque::new()
            });
        queue.push_back(row);
    }
    let mut waiting = order
        .into_iter()
        .filter_map(|aggregate| aggregates.remove(&aggregate))
        .collect::<VecDeque<_>>();
    let mut in_flight = FuturesUnordered::new();
    let mut round = Round {
        sent: Vec::new(),
        lowest_new: None,
        failed: false,
    };
    loop {
        while in_flight.len() < MAX_AGGREGATES_IN_FLIGHT {
            let Some(queue) = waiting.pop_front() else {
                break;
            };
            in_flight.push(publish_in_order(jetstream, service, queue));
        }
        let Some((acks, failed)) = in_flight.next().await else {
            return round;
        };
        for (id, ack) in acks {
            round.sent.push((id, ack.sequence));
            if !ack.duplicate {
                round.lowest_new = Some(
                    round
                        .lowest_new
                        .map_or(ack.sequence, |lowest| lowest.min(ack.sequence)),
                );
            }
        }
        round.failed |= failed;
    }
}

async fn publish_in_order(
    jetstream: &jetstream::Context,
    service: &str,
    rows: VecDeque<Row>,
) -> (Vec<(i64, PublishAck)>, bool) {
    let mut sent = Vec::new();
    for row in rows {
        let id = row.id;
        match publish_one(jetstream, service, row).await {
            Ok(ack) => sent.push((id, ack)),
            Err(error) => {
                tracing::warn!(%error, "event was not published; trying again");
                return (sent, true);
            }
        }
    }
    (sent, false)
}

async fn publish_one(
    jetstream: &jetstream::Context,
    service: &str,
    row: Row,
) -> Result<PublishAck, String> {
    let mut headers = HeaderMap::new();
    let id = row.event_id.to_string();
    let message_id = match row.stream_seq {
        // The broker may still know the id of a message that was deleted, and would take this one for its duplicate.
        Some(lost) => format!("{id}{lost}"),
        None => id.clone(),
    };
    headers.insert(header::MESSAGE_ID, message_id);
    headers.insert(header::ID, id.as_str());
    headers.insert(header::POSITION, row.id.to_string());
    headers.insert(header::SPEC_VERSION, "1.0");
    headers.insert(header::SOURCE, format!("/caravan/{service}"));
    headers.insert(header::TYPE, row.event_type);
    headers.insert(header::SUBJECT, row.aggregate_id);
    headers.insert(header::CONTENT_TYPE, "application/protobuf");
    if let Ok(time) = clock::from_us(row.occurred_at_us).format(&Rfc3339) {
        headers.insert(header::TIME, time);
    }
    if let Some(traceparent) = row.traceparent {
        headers.insert(header::TRACEPARENT, traceparent);
    }
    if let Some(request_id) = row.request_id {
        headers.insert(header::REQUEST_ID, request_id);
    }
    let mut payload = row.payload;
    payload.extend(row.transient.unwrap_or_default());
    let publish = async {
        let ack = jetstream
            .publish_with_headers(row.subject, headers, payload.into())
            .await;
        // An error in the acknowledgement comes as an error here, whatever sequence it carries.
        ack.map_err(|error| error.to_string())?
            .await
            .map_err(|error| error.to_string())
    };
    match tokio::time::timeout(ACK_TIMEOUT, publish).await {
        Ok(Ok(ack)) => Ok(ack),
        Ok(Err(error)) => Err(error),
        Err(_) => Err("no acknowledgement in time".to_owned()),
    }
}

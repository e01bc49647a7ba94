//! The lanes of a consumer: events of one aggregate one after another, those of others beside them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Delivery, dead_letter, header};
use crate::{
    context::{self, Context},
    db::Db,
    error::{Classify, is_transient},
    telemetry::{self, Kind},
};

/// Queues that share the work; the events of one aggregate are always in the same.
pub(super) const LANES: usize = 64;
/// Events that wait in one queue.
pub(super) const MAX_LANE_EVENTS: usize = 8;
/// Tries of one delivery, one after another, so that later events of the aggregate stay behind it.
const MAX_TRIES: u32 = 16;
/// First and longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Deliveries until an event is given up as a dead letter.
const MAX_DELIVERIES: i64 = 20;
/// Wait before the broker delivers again what could not be handled.
const REDELIVERY_DELAY: Duration = Duration::from_secs(5);

/// Why an event could not be handled.
pub(super) struct Failure {
    pub(super) code: Code,
    /// The whole chain of causes, for the dead letter and the log.
    pub(super) text: String,
}

/// What a consumer does with an event.
pub(super) type Handler =
    Arc<dyn Fn(Delivery<Bytes>) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

impl Failure {
    pub(super) fn of(error: &dyn Classify) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self {
            code: error.code(),
            text,
        }
    }
}

/// An event with what acknowledges it.
struct Work {
    delivery: Delivery<Bytes>,
    message: jetstream::Message,
    /// Whether it has the headers of one.
    is_event: bool,
}

/// The queues of a consumer and those who work them off.
pub(super) struct Lanes {
    queues: Vec<mpsc::Sender<Work>>,
    workers: JoinSet<()>,
}

impl Lanes {
    pub(super) fn start(handler: &Handler, db: &Db, cancel: &CancellationToken) -> Self {
        let mut workers = JoinSet::new();
        let queues = (0..LANES)
            .map(|_| {
                let (sender, mut queue) = mpsc::channel::<Work>(MAX_LANE_EVENTS);
                let (handler, db, cancel) = (handler.clone(), db.clone(), cancel.clone());
                workers.spawn(async move {
                    while let Some(work) = queue.recv().await {
                        // What has not begun when the service drains is delivered again later.
                        if !cancel.is_cancelled() {
                            work.handle(&handler, &db, &cancel).await;
                        }
                    }
                });
                sender
            })
            .collect();
        Self { queues, workers }
    }

    pub(super) async fn hand_out(&self, message: jetstream::Message, durable: &str) {
        let (delivery, is_event) = match read(&message, durable) {
            Some(delivery) => (delivery, true),
            None => (foreign(&message, durable), false),
        };
        let mut hasher = DefaultHasher::new();
        delivery.aggregate_id.hash(&mut hasher);
        let lane = (hasher.finish() % LANES as u64) as usize;
        // A full lane holds back the whole consumer: bounded memory before speed.
        let work = Work {
            delivery,
            message,
            is_event,
        };
        // Lanes end only after nobody hands out any more: a panicking handler is caught.
        let _ = self.queues[lane].send(work).await;
    }

    pub(super) async fn finish(&mut self) {
        self.queues.clear();
        while self.workers.join_next().await.is_some() {}
    }
}

impl Work {
    /// Handles one event under the trace and the request that caused it.
    async fn handle(self, handler: &Handler, db: &Db, cancel: &CancellationToken) {
        let headers = self.message.headers.clone().unwrap_or_default();
        let event_id = self.delivery.event_id.to_string();
        let request_id = header::get(&headers, header::REQUEST_ID).unwrap_or(&event_id);
        let traceparent = header::get(&headers, header::TRACEPARENT);
        let entry = telemetry::entry_span(
            Kind::Consumer,
            &self.delivery.subject,
            request_id,
            traceparent,
        );
        let span = tracing::info_span!(
            parent: &entry,
            "event",
            consumer = self.delivery.consumer,
            event_id = %self.delivery.event_id,
        );
        context::scope(
            Context::new(Some(request_id)),
            self.attempt(handler, db, cancel).instrument(span),
        )
        .await;
    }

    async fn attempt(self, handler: &Handler, db: &Db, cancel: &CancellationToken) {
        let mut wait = BACKOFF.0;
        let mut tries = 1;
        let failure = loop {
            match self.try_once(handler).await {
                Ok(()) => return self.acknowledge(AckKind::Ack).await,
                Err(failure) if !is_transient(failure.code) => break failure,
                Err(failure) if tries == MAX_TRIES || cancel.is_cancelled() => {
                    if self.deliveries() < MAX_DELIVERIES {
                        tracing::warn!(code = ?failure.code, error = failure.text, "event not handled yet");
                        return self.acknowledge(AckKind::Nak(Some(REDELIVERY_DELAY))).await;
                    }
                    break failure;
                }
                Err(failure) => {
                    tracing::debug!(code = ?failure.code, error = failure.text, "trying the event again")
                }
            }
            self.acknowledge(AckKind::Progress).await;
            cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
            wait = (wait * 2).min(BACKOFF.1);
            tries += 1;
        };
        tracing::error!(code = ?failure.code, error = failure.text, "event became a dead letter");
        match dead_letter::bury(
            db,
            &self.delivery,
            failure.code,
            &failure.text,
            self.deliveries(),
        )
        .await
        {
            Ok(()) => self.acknowledge(AckKind::Term).await,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "dead letter could not be stored"
                );
                self.acknowledge(AckKind::Nak(Some(REDELIVERY_DELAY))).await;
            }
        }
    }

    /// A panic is a fault like any other: it costs the event, not the lane.
    async fn try_once(&self, handler: &Handler) -> Result<(), Failure> {
        if !self.is_event {
            let text = "a message without the headers of an event".to_owned();
            return Err(Failure {
                code: Code::InvalidArgument,
                text,
            });
        }
        let handling = async { handler(self.delivery.clone()).await };
        AssertUnwindSafe(handling)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| {
                let text = "the handler panicked; the log says where".to_owned();
                Err(Failure {
                    code: Code::Internal,
                    text,
                })
            })
    }

    fn deliveries(&self) -> i64 {
        self.message.info().map_or(1, |info| info.delivered)
    }

    /// A lost acknowledgement only means that the event comes again.
    async fn acknowledge(&self, kind: AckKind) {
        if let Err(error) = self.message.ack_with(kind).await {
            tracing::debug!(%error, "acknowledgement was not sent");
        }
    }
}

/// Reads the headers of an event; `None` where it has none of ours.
fn read(message: &jetstream::Message, durable: &str) -> Option<Delivery<Bytes>> {
    let headers = message.headers.as_ref()?;
    let time = header::get(headers, header::TIME)
        .and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok());
    Some(Delivery {
        consumer: durable.to_owned(),
        event_id: Uuid::try_parse(header::get(headers, header::ID)?).ok()?,
        subject: message.subject.to_string(),
        event_type: header::get(headers, header::TYPE)?.to_owned(),
        aggregate_id: header::get(headers, header::SUBJECT)?.to_owned(),
        time: time.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        message: message.payload.clone(),
    })
}

/// What is kept of a message that somebody else put on the subject.
fn foreign(message: &jetstream::Message, durable: &str) -> Delivery<Bytes> {
    let sequence = message.info().map_or(0, |info| info.stream_sequence);
    let name = format!("{}:{sequence}", message.subject);
    Delivery {
        consumer: durable.to_owned(),
        // The same whenever it is delivered again.
        event_id: Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()),
        subject: message.subject.to_string(),
        event_type: String::new(),
        aggregate_id: String::new(),
        time: OffsetDateTime::UNIX_EPOCH,
        message: message.payload.clone(),
    }
}

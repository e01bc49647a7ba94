//! Durable consumers: in order within an aggregate, in parallel across aggregates.

use std::{
    future::Future,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::{
    self, AckKind,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture};
use prost_reflect::ReflectMessage;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::Instrument as _;
use uuid::Uuid;

use super::{Delivery, dead_letter, header, stream};
use crate::{
    context::{self, Context},
    db::Db,
    error::{Classify, is_transient},
    telemetry::{self, Kind},
};

/// Queues that share the work; the events of one aggregate are always in the same.
const LANES: usize = 64;
/// Events that wait in one queue.
const MAX_LANE_EVENTS: usize = 8;
/// Most events that the broker hands out before the first is acknowledged.
const MAX_IN_FLIGHT: i64 = (LANES * MAX_LANE_EVENTS) as i64;
/// How long the broker waits for an acknowledgement or a sign of progress before it delivers again.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// Tries of one delivery, one after another, so that later events of the aggregate stay behind it.
const MAX_TRIES: u32 = 8;
/// First and longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Deliveries until an event is given up as a dead letter.
const MAX_DELIVERIES: i64 = 20;
/// Wait before the broker delivers again what could not be handled.
const REDELIVERY_DELAY: Duration = Duration::from_secs(5);
/// How often the broker says that it is still there; silence for twice as long starts the consumer again.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Wait before a consumer that lost its stream or its broker starts again.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// Why an event could not be handled.
struct Failure {
    code: Code,
    /// The whole chain of causes, for the dead letter and the log.
    text: String,
}

type Handler =
    Arc<dyn Fn(Delivery<Bytes>) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// A durable consumer and its handler.
#[derive(Clone)]
pub struct Consumer {
    name: String,
    subject: String,
    handler: Handler,
}

/// A consumer of the event `M`; its subject comes from the contract.
///
/// The handler claims, acts and commits ([`Db::claim`]); the event is acknowledged after `Ok`. An error that
/// may pass is tried again, any other makes a dead letter.
///
/// # Panics
/// `M` is not an event of the contract: a fault of the program, found when it starts.
pub fn consumer<M, E, F, Fut>(name: &str, handler: F) -> Consumer
where
    M: ReflectMessage + Default,
    E: Classify,
    F: Fn(Delivery<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    let descriptor = M::default().descriptor();
    let policy = contracts::policy::event(descriptor.full_name())
        .unwrap_or_else(|| panic!("{} is no event of the contract", descriptor.full_name()));
    let handler: Handler =
        Arc::new(
            move |delivery: Delivery<Bytes>| match delivery.decode::<M>() {
                Ok(delivery) => {
                    let handling = handler(delivery);
                    Box::pin(async move { handling.await.map_err(|error| Failure::of(&error)) })
                }
                Err(error) => Box::pin(async move {
                    Err(Failure {
                        code: Code::DataLoss,
                        text: error.to_string(),
                    })
                }),
            },
        );
    Consumer {
        name: name.to_owned(),
        subject: policy.subject.clone(),
        handler,
    }
}

/// A consumer of a subject that is known only at run time; see [`consumer`].
pub fn raw_consumer<E, F, Fut>(name: &str, subject: &str, handler: F) -> Consumer
where
    E: Classify,
    F: Fn(Delivery<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    let handler: Handler = Arc::new(move |delivery| {
        let handling = handler(delivery);
        Box::pin(async move { handling.await.map_err(|error| Failure::of(&error)) })
    });
    Consumer {
        name: name.to_owned(),
        subject: subject.to_owned(),
        handler,
    }
}

impl Failure {
    fn of(error: &dyn Classify) -> Self {
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

impl Consumer {
    /// Handles events until `cancel`, then finishes those under way. Survives the broker's absence.
    pub async fn run(
        self,
        db: Db,
        jetstream: jetstream::Context,
        service: &str,
        cancel: CancellationToken,
    ) {
        let durable = format!("{service}-{}", self.name);
        let mut lanes = Lanes::start(&self, &db, &cancel);
        while !cancel.is_cancelled() {
            let session = self.session(&jetstream, &durable, &lanes);
            if let Some(Err(error)) = cancel.run_until_cancelled(session).await {
                tracing::warn!(consumer = durable, %error, "consumer interrupted; starting again");
            }
            cancel
                .run_until_cancelled(tokio::time::sleep(RESTART_PAUSE))
                .await;
        }
        lanes.finish().await;
    }

    /// Fetches and hands out until something breaks.
    async fn session(
        &self,
        jetstream: &jetstream::Context,
        durable: &str,
        lanes: &Lanes,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let publisher = self.subject.split('.').next().unwrap_or_default();
        let stream = stream::ensure_until_done(jetstream, publisher).await;
        let config = pull::Config {
            durable_name: Some(durable.to_owned()),
            filter_subject: self.subject.clone(),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_IN_FLIGHT,
            ..Default::default()
        };
        let consumer: PullConsumer = stream.get_or_create_consumer(durable, config).await?;
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(MAX_IN_FLIGHT as usize)
            .heartbeat(HEARTBEAT)
            .messages()
            .await?;
        while let Some(message) = messages.next().await {
            lanes.hand_out(message?, durable).await;
        }
        Ok(())
    }
}

/// An event with what acknowledges it.
struct Work {
    delivery: Delivery<Bytes>,
    message: jetstream::Message,
}

struct Lanes {
    queues: Vec<mpsc::Sender<Work>>,
    workers: JoinSet<()>,
}

impl Lanes {
    fn start(consumer: &Consumer, db: &Db, cancel: &CancellationToken) -> Self {
        let mut workers = JoinSet::new();
        let queues = (0..LANES)
            .map(|_| {
                let (sender, mut queue) = mpsc::channel::<Work>(MAX_LANE_EVENTS);
                let (handler, db, cancel) = (consumer.handler.clone(), db.clone(), cancel.clone());
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

    async fn hand_out(&self, message: jetstream::Message, durable: &str) {
        let Some(delivery) = read(&message, durable) else {
            // Not one of ours: nobody could ever handle it.
            tracing::error!(consumer = durable, subject = %message.subject, "a message without event headers was dropped");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        let mut hasher = DefaultHasher::new();
        delivery.aggregate_id.hash(&mut hasher);
        let lane = (hasher.finish() % LANES as u64) as usize;
        // A full lane holds back the whole consumer: bounded memory before speed.
        let _ = self.queues[lane].send(Work { delivery, message }).await;
    }

    async fn finish(&mut self) {
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
            match handler(self.delivery.clone()).await {
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

//! One event and its handler: tries, waits between them, and the dead letter at the end.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::Instrument as _;

use super::{Delivery, care, dead_letter, header, metrics};
use crate::{
    context::{self, Context},
    db::{self, Db},
    error::{Classify, is_transient},
    telemetry::{self, Kind},
};

/// Tries of an event whose failures may pass, one after another, some 25 minutes in all; later events of its aggregate wait
/// behind it. Then it becomes a dead letter.
const MAX_TRIES: i64 = 320;
/// First and longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Why an event could not be handled.
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// The whole chain of causes, for the dead letter and the log.
    pub(crate) text: String,
}

/// What a consumer does with an event.
pub(crate) type Handler =
    Arc<dyn Fn(Delivery<Bytes>) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

impl Failure {
    pub(crate) fn of(error: &dyn Classify) -> Self {
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

/// An event that is to be handled.
pub(super) struct Event {
    pub(super) delivery: Delivery<Bytes>,
    pub(super) headers: HeaderMap,
    /// Whether it has the headers of an event; what somebody else put on the subject has not.
    pub(super) is_event: bool,
    /// It may be what ends processes.
    pub(super) alone: bool,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Handled,
    DeadLetter,
    /// Cancelled before it was handled: it must come again.
    Left,
}

/// What handles the events of one consumer.
pub(super) struct Attempts {
    pub(super) handler: Handler,
    pub(super) db: Db,
    /// Handlers that run at the same time. One that waits for its next try gives its place to others.
    pub(super) running: Semaphore,
    /// How many handlers that is.
    pub(super) max_running: u32,
    pub(super) cancel: CancellationToken,
}

impl Attempts {
    /// Handles an event under the trace and the request that caused it.
    pub(super) async fn settle(&self, event: &Event) -> Outcome {
        within(event, self.try_until_settled(event)).await
    }

    async fn try_until_settled(&self, event: &Event) -> Outcome {
        let consumer = &event.delivery.consumer;
        let mut wait = BACKOFF.0;
        let mut tries = 1;
        let failure = loop {
            if self.cancel.is_cancelled() {
                return Outcome::Left;
            }
            match self.try_once(event).await {
                Ok(()) => {
                    metrics::handled(consumer);
                    return Outcome::Handled;
                }
                Err(failure) if !is_transient(failure.code) || tries == MAX_TRIES => break failure,
                Err(failure) if tries == 1 => {
                    tracing::warn!(code = ?failure.code, error = failure.text, "event not handled yet; trying again");
                }
                Err(_) => {}
            }
            self.pause(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
            tries += 1;
        };
        tracing::error!(code = ?failure.code, error = failure.text, "event became a dead letter");
        self.bury(event, &failure, tries).await
    }

    /// Keeps the dead letter, however long the database is away: nothing behind it may go on before.
    async fn bury(&self, event: &Event, failure: &Failure, tries: i64) -> Outcome {
        let mut wait = BACKOFF.0;
        loop {
            match dead_letter::bury(&self.db, event, failure, tries).await {
                Ok(()) => {
                    metrics::died(&event.delivery.consumer);
                    return Outcome::DeadLetter;
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "dead letter could not be stored; trying again"
                ),
            }
            self.pause(wait).await;
            wait = (wait * 2).min(BACKOFF.1);
            if self.cancel.is_cancelled() {
                return Outcome::Left;
            }
        }
    }

    async fn pause(&self, wait: Duration) {
        self.cancel
            .run_until_cancelled(tokio::time::sleep(wait))
            .await;
    }

    async fn try_once(&self, event: &Event) -> Result<(), Failure> {
        if event.alone {
            return self.try_alone(event).await;
        }
        // Never closed.
        let _place = self.running.acquire().await;
        call(&self.handler, event).await
    }

    /// Nothing else is handled meanwhile, so that the process can end at no other event than this one.
    async fn try_alone(&self, event: &Event) -> Result<(), Failure> {
        let _alone = self.db.consumers().alone().await;
        let _places = self.running.acquire_many(self.max_running).await;
        let failure = |error: db::Error| Failure::of(&error);
        let tries = care::count(&self.db, &event.delivery)
            .await
            .map_err(failure)?;
        if tries > care::MAX_ENDS {
            care::forget(&self.db, &event.delivery)
                .await
                .map_err(failure)?;
            return Err(Failure {
                code: Code::Internal,
                text: format!(
                    "the process ended {} times while it handled this event",
                    care::MAX_ENDS
                ),
            });
        }
        let result = call(&self.handler, event).await;
        care::forget(&self.db, &event.delivery)
            .await
            .map_err(failure)?;
        result
    }
}

/// Runs a handler once. A panic is a fault like any other: it costs the event, not the consumer.
pub(super) async fn call(handler: &Handler, event: &Event) -> Result<(), Failure> {
    if !event.is_event {
        return Err(Failure {
            code: Code::InvalidArgument,
            text: "a message without the headers of an event".to_owned(),
        });
    }
    let handling = async { handler(event.delivery.clone()).await };
    AssertUnwindSafe(handling)
        .catch_unwind()
        .await
        .unwrap_or_else(|_| {
            Err(Failure {
                code: Code::Internal,
                text: "the handler panicked; the log says where".to_owned(),
            })
        })
}

/// Runs `work` under the trace and the request that caused the event.
pub(super) async fn within<T>(event: &Event, work: impl Future<Output = T>) -> T {
    let delivery = &event.delivery;
    let event_id = delivery.event_id.to_string();
    let request_id = header::get(&event.headers, header::REQUEST_ID).unwrap_or(&event_id);
    let traceparent = header::get(&event.headers, header::TRACEPARENT);
    let entry = telemetry::entry_span(Kind::Consumer, &delivery.subject, request_id, traceparent);
    let span = tracing::info_span!(
        parent: &entry,
        "event",
        consumer = delivery.consumer,
        event_id,
    );
    context::scope(Context::new(Some(request_id)), work.instrument(span)).await
}

//! Durable consumers: in order within an aggregate, in parallel across aggregates.
//!
//! Of several replicas of a service one consumes at a time; another one takes over as soon as it ends. Several at once would
//! handle events of one aggregate beside each other.

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::jetstream;
use bytes::Bytes;
use contracts::policy::EventPolicy;
use prost_reflect::ReflectMessage;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{
    Delivery,
    archive::Archive,
    attempt::{Failure, Handler},
    care::Care,
    queues::Queues,
    registry::Entry,
    session::{End, Session},
    turn::{self, Turn},
};
use crate::{db::Db, error::Classify};

/// Wait before a consumer that lost its stream or its broker starts again.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// A durable consumer and its handler.
#[derive(Clone)]
pub struct Consumer {
    name: String,
    subject: String,
    handler: Handler,
    archive: Option<Archive>,
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
    typed(name, policy::<M>().subject.clone(), handler)
}

/// A consumer of the event `M` as `publisher` publishes it, where every service does; see [`consumer`].
///
/// # Panics
/// As [`consumer`].
pub fn consumer_of<M, E, F, Fut>(name: &str, publisher: &str, handler: F) -> Consumer
where
    M: ReflectMessage + Default,
    E: Classify,
    F: Fn(Delivery<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
    let subject = policy::<M>().subject_of(publisher).into_owned();
    typed(name, subject, handler)
}

fn policy<M: ReflectMessage + Default>() -> &'static EventPolicy {
    let descriptor = M::default().descriptor();
    contracts::policy::event(descriptor.full_name())
        .unwrap_or_else(|| panic!("{} is no event of the contract", descriptor.full_name()))
}

fn typed<M, E, F, Fut>(name: &str, subject: String, handler: F) -> Consumer
where
    M: ReflectMessage + Default,
    E: Classify,
    F: Fn(Delivery<M>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), E>> + Send + 'static,
{
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
    Consumer::new(name, subject, handler)
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
    Consumer::new(name, subject.to_owned(), handler)
}

impl Consumer {
    pub(crate) fn new(name: &str, subject: String, handler: Handler) -> Self {
        Self {
            name: name.to_owned(),
            subject,
            handler,
            archive: None,
        }
    }

    /// Catches up from the publisher's archive where the stream does not reach back far enough.
    pub(crate) fn with_archive(mut self, archive: Archive) -> Self {
        self.archive = Some(archive);
        self
    }

    /// Catches up from this outbox: that of the publisher itself, where it is in reach.
    pub fn with_history_of(self, publisher: &Db) -> Self {
        self.with_archive(Archive::Own(publisher.clone()))
    }

    /// The service that publishes the events.
    pub fn publisher(&self) -> &str {
        self.subject.split('.').next().unwrap_or_default()
    }

    /// Handles events until `cancel`, then finishes those under way. Survives the broker's absence.
    pub async fn run(
        self,
        db: Db,
        jetstream: jetstream::Context,
        service: &str,
        cancel: CancellationToken,
    ) {
        let durable = format!("{service}-{}", self.name);
        let entry = Entry {
            subject: self.subject.clone(),
            handler: self.handler.clone(),
            archive: self.archive.clone(),
            jetstream: jetstream.clone(),
            is_active: false,
        };
        db.consumers().add(&durable, entry);
        while let Some(turn) = cancel.run_until_cancelled(Turn::wait(&db, &durable)).await {
            db.consumers().set_active(&durable, true);
            let stop = cancel.child_token();
            let queues = Queues::new(&self.handler, &db, stop.clone());
            let mut lost = false;
            tokio::select! {
                () = self.sessions(&jetstream, &turn, &queues, &stop) => {}
                () = cancel.cancelled() => {}
                () = turn.lost() => {
                    lost = true;
                    tracing::warn!(
                        consumer = durable,
                        "another replica may consume now; what is under way here ends"
                    );
                }
            }
            stop.cancel();
            queues.idle().await;
            db.consumers().set_active(&durable, false);
            drop(turn);
            if lost {
                let step_back = tokio::time::sleep(turn::STEP_BACK);
                cancel.run_until_cancelled(step_back).await;
            }
        }
        db.consumers().remove(&durable);
    }

    /// One session after another.
    async fn sessions(
        &self,
        jetstream: &jetstream::Context,
        turn: &Turn<'_>,
        queues: &Queues,
        stop: &CancellationToken,
    ) {
        let (mut caught_up, care) = (false, Care::default());
        while !stop.is_cancelled() {
            let session = Session {
                turn,
                jetstream,
                subject: &self.subject,
                archive: self.archive.as_ref(),
                queues,
                cancel: stop,
                care: &care,
                caught_up,
            };
            match session.run().await {
                Ok(End::CaughtUp) => {
                    caught_up = true;
                    continue;
                }
                Ok(End::Over) => {}
                Err(error) => {
                    tracing::warn!(consumer = turn.consumer, %error, "consumer interrupted; starting again");
                }
            }
            caught_up = false;
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }
}

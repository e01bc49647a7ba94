//! Durable consumers: in order within an aggregate, in parallel across aggregates.

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull},
};
use bytes::Bytes;
use futures::StreamExt as _;
use prost_reflect::ReflectMessage;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::{
    Delivery,
    lanes::{Failure, Handler, LANES, Lanes, MAX_LANE_EVENTS},
    stream,
};
use crate::{db::Db, error::Classify};

/// Most events that the broker hands out before the first is acknowledged.
const MAX_IN_FLIGHT: i64 = (LANES * MAX_LANE_EVENTS) as i64;
/// How long the broker waits for an acknowledgement or a sign of progress before it delivers again.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// How often the broker says that it is still there; silence for twice as long starts the consumer again.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Wait before a consumer that lost its stream or its broker starts again.
const RESTART_PAUSE: Duration = Duration::from_millis(200);

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
        let mut lanes = Lanes::start(&self.handler, &db, &cancel);
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

//! Events as they travel: streams, headers, deliveries and the consumers that handle them.

pub(crate) mod archive;
pub(crate) mod attempt;
mod care;
mod catch_up;
mod consumer;
pub(crate) mod dead_letter;
pub(crate) mod header;
mod metrics;
mod queues;
mod read;
pub(crate) mod registry;
pub(crate) mod replay;
mod session;
pub(crate) mod stream;
mod turn;

use bytes::Bytes;
use time::OffsetDateTime;
use uuid::Uuid;

pub use consumer::{Consumer, consumer, consumer_of, raw_consumer};

pub(crate) use attempt::Failure;
pub(crate) use catch_up::is_caught_up;
pub(crate) use registry::Registry;

/// An event that arrived.
#[derive(Clone, Debug)]
pub struct Delivery<M> {
    /// The durable consumer that it was delivered to, `<service>-<name>`.
    pub consumer: String,
    /// Unique for each event; the same when it is delivered again.
    pub event_id: Uuid,
    /// `<service>.<aggregate>.<participle>.v1`
    pub subject: String,
    /// The full name of the event's message.
    pub event_type: String,
    /// The aggregate that it tells about.
    pub aggregate_id: String,
    /// When it happened.
    pub time: OffsetDateTime,
    /// What happened.
    pub message: M,
    /// The replica's turn as the one that consumes; `None` where an operator hands the event out.
    pub(crate) epoch: Option<i64>,
}

impl Delivery<Bytes> {
    /// The same delivery with its payload read as `M`.
    pub(crate) fn decode<M: prost::Message + Default>(
        self,
    ) -> Result<Delivery<M>, prost::DecodeError> {
        let message = M::decode(self.message)?;
        Ok(Delivery {
            consumer: self.consumer,
            event_id: self.event_id,
            subject: self.subject,
            event_type: self.event_type,
            aggregate_id: self.aggregate_id,
            time: self.time,
            message,
            epoch: self.epoch,
        })
    }
}

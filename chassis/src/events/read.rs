//! Reads events: from messages of a stream and from the publisher's archive.

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use contracts::caravan::ops::v1::StoredEvent;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{Delivery, attempt::Event, header};

/// What a message of a stream is to the consumer `durable`.
pub(super) fn message(message: &jetstream::Message, durable: &str, epoch: i64) -> Event {
    let (mut delivery, is_event) = match ours(message, durable) {
        Some(delivery) => (delivery, true),
        None => (foreign(message, durable), false),
    };
    delivery.epoch = Some(epoch);
    Event {
        delivery,
        headers: message.headers.clone().unwrap_or_default(),
        is_event,
        alone: false,
    }
}

/// Where the publisher's outbox has the event of a message.
pub(super) fn position(message: &jetstream::Message) -> Option<i64> {
    let headers = message.headers.as_ref()?;
    header::get(headers, header::POSITION)?.parse().ok()
}

/// An event of an archive as if it were delivered to the consumer `durable`; `None` where its id is none.
fn stored(event: StoredEvent, durable: &str, epoch: Option<i64>) -> Option<Delivery<Bytes>> {
    let time = event
        .occurred_at
        .and_then(|at| std::time::SystemTime::try_from(at).ok())
        .map_or(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::from);
    Some(Delivery {
        consumer: durable.to_owned(),
        event_id: Uuid::try_parse(&event.event_id).ok()?,
        subject: event.subject,
        event_type: event.event_type,
        aggregate_id: event.aggregate_id,
        time,
        message: event.payload.into(),
        epoch,
    })
}

/// An event of an archive with the headers that it was published with, as far as handling it takes them.
pub(super) fn archived(event: StoredEvent, durable: &str, epoch: Option<i64>) -> Option<Event> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::TRACEPARENT, &event.traceparent),
        (header::REQUEST_ID, &event.request_id),
    ] {
        if !value.is_empty() {
            headers.insert(name, value.as_str());
        }
    }
    Some(Event {
        delivery: stored(event, durable, epoch)?,
        headers,
        is_event: true,
        alone: false,
    })
}

/// Reads the headers of an event; `None` where it has none of ours.
fn ours(message: &jetstream::Message, durable: &str) -> Option<Delivery<Bytes>> {
    let headers = message.headers.as_ref()?;
    Some(Delivery {
        consumer: durable.to_owned(),
        event_id: Uuid::try_parse(header::get(headers, header::ID)?).ok()?,
        subject: message.subject.to_string(),
        event_type: header::get(headers, header::TYPE)?.to_owned(),
        aggregate_id: header::get(headers, header::SUBJECT)?.to_owned(),
        time: time(headers),
        message: message.payload.clone(),
        epoch: None,
    })
}

/// When an event happened; 1970 where its headers do not say.
pub(super) fn time(headers: &HeaderMap) -> OffsetDateTime {
    header::get(headers, header::TIME)
        .and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
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
        epoch: None,
    }
}

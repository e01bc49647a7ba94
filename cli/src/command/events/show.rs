//! How events and their payloads are shown.

use contracts::DESCRIPTOR_POOL;
use contracts::caravan::ops::v1::{DeadLetter, StoredEvent};
use prost_reflect::DynamicMessage;
use prost_types::Timestamp;
use serde_json::{Value, json};

/// The message as JSON; as hexadecimal text where this program does not know it.
pub(super) fn payload(event_type: &str, bytes: &[u8]) -> Value {
    let known = DESCRIPTOR_POOL
        .get_message_by_name(event_type)
        .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes).ok())
        .and_then(|message| serde_json::to_value(&message).ok());
    known.unwrap_or_else(|| {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text.into()
    })
}

/// RFC 3339 in UTC; `-` where there is none.
pub(super) fn time(at: Option<&Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), ToString::to_string)
}

pub(super) fn event(service: &str, event: &StoredEvent) -> Value {
    json!({
        "service": service,
        "position": event.position,
        "eventId": event.event_id,
        "subject": event.subject,
        "aggregateId": event.aggregate_id,
        "occurredAt": time(event.occurred_at.as_ref()),
        "sentAt": event.sent_at.as_ref().map(ToString::to_string),
        "requestId": event.request_id,
        "payload": payload(&event.event_type, &event.payload),
    })
}

pub(super) fn dead_letter(letter: &DeadLetter) -> Value {
    json!({
        "consumer": letter.consumer,
        "eventId": letter.event_id,
        "eventType": letter.event_type,
        "subject": letter.subject,
        "aggregateId": letter.aggregate_id,
        "code": letter.code,
        "error": letter.error,
        "attempts": letter.attempts,
        "diedAt": time(letter.died_at.as_ref()),
        "headers": letter.headers,
        "payload": payload(&letter.event_type, &letter.payload),
    })
}

/// One line on stdout.
pub(super) fn line(text: impl std::fmt::Display) {
    super::super::print(format!("{text}\n").as_bytes());
}

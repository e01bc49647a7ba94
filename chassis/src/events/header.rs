//! Headers of an event: CloudEvents 1.0 in binary mode, JetStream's message id, trace and request.

use async_nats::HeaderMap;

pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";
pub(crate) const ID: &str = "ce-id";
pub(crate) const SPEC_VERSION: &str = "ce-specversion";
pub(crate) const SOURCE: &str = "ce-source";
pub(crate) const TYPE: &str = "ce-type";
pub(crate) const SUBJECT: &str = "ce-subject";
pub(crate) const TIME: &str = "ce-time";
pub(crate) const CONTENT_TYPE: &str = "content-type";
pub(crate) const TRACEPARENT: &str = "traceparent";
/// Place in the publisher's outbox.
pub(crate) const POSITION: &str = "caravan-position";
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// The value of a header, where it is there.
pub(crate) fn get<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.as_str())
}

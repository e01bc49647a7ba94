//! Events that are written with the COMMIT of their unit of work, in one message to PostgreSQL.
//!
//! Nobody in the unit needs an answer to them, so they need no round trip of their own. Such a message takes no parameters:
//! the events travel as JSON in hexadecimal digits, as the one argument of a statement that each connection prepares once.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Largest payload of an event that is written so; a larger one is better off as a parameter.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 4096;

/// Begins the first transaction of a connection, which prepares what [`then`] executes.
pub(super) const BEGIN_FIRST: &str = "PREPARE caravan_events (text) AS \
     INSERT INTO outbox (event_id, event_type, subject, aggregate_id, payload, traceparent, request_id, occurred_at_us, origin) \
     SELECT event_id, event_type, subject, aggregate_id, decode(payload, 'hex'), traceparent, request_id, occurred_at_us, origin \
     FROM ROWS FROM (json_to_recordset(convert_from(decode($1, 'hex'), 'UTF8')::json) AS (event_id uuid, event_type text, \
     subject text, aggregate_id text, payload text, traceparent text, request_id text, occurred_at_us bigint, origin bigint)) \
     WITH ORDINALITY ORDER BY ordinality; BEGIN";

/// A row of the outbox to be.
#[derive(Serialize)]
pub(crate) struct Event<'a> {
    pub(crate) event_id: Uuid,
    pub(crate) event_type: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) aggregate_id: &'a str,
    #[serde(serialize_with = "in_hex")]
    pub(crate) payload: &'a [u8],
    pub(crate) traceparent: Option<&'a str>,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) occurred_at_us: i64,
    pub(crate) origin: i64,
}

fn in_hex<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes))
}

/// Writes events, each as JSON, in their order, and then does `what`.
pub(super) fn then<'a>(events: &[String], what: &'a str) -> Cow<'a, str> {
    if events.is_empty() {
        return what.into();
    }
    let json = format!("[{}]", events.join(","));
    format!("EXECUTE caravan_events('{}'); {what}", hex(json.as_bytes())).into()
}

/// Two digits for each byte: nothing in them ends a literal.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_event_says_there_are_only_digits() {
        let sql = then(&["{\"a\":\"'); DROP\"}".to_owned()], "COMMIT");
        let argument = sql
            .strip_prefix("EXECUTE caravan_events('")
            .and_then(|rest| rest.strip_suffix("'); COMMIT"))
            .expect("one statement");
        assert!(argument.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(then(&[], "COMMIT"), "COMMIT");
        assert_eq!(hex(&[0x00, 0x0f, 0xa7, 0xff]), "000fa7ff");
    }
}

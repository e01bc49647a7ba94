//! One JSON object for every line, whoever wrote it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::OWN_NAME;

/// How grave a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As intended.
    Info,
    /// Not as intended, and handled.
    Warn,
    /// Not as intended, and somebody should look.
    Error,
}

impl Level {
    /// As it stands in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// Reads a line without keeping anything of it: is it an object, and does it name its service?
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    service: Option<IgnoredAny>,
}

/// Appends `line` as a JSON line that names its service: objects stay as they are, plain text is wrapped.
pub fn normalise(service: &str, line: &[u8], out: &mut Vec<u8>) {
    let line = line.trim_ascii();
    if line.is_empty() {
        return;
    }
    match line
        .strip_prefix(b"{")
        .and_then(|rest| Some((rest, serde_json::from_slice::<Probe>(line).ok()?)))
    {
        Some((_, Probe { service: Some(_) })) => out.extend_from_slice(line),
        Some((rest, Probe { service: None })) => {
            out.extend_from_slice(format!("{{\"service\":\"{service}\"").as_bytes());
            if rest.trim_ascii() != b"}" {
                out.push(b',');
            }
            out.extend_from_slice(rest);
        }
        None => match wrap(service, &String::from_utf8_lossy(line)) {
            Some(line) => out.extend_from_slice(line.to_string().as_bytes()),
            None => return,
        },
    }
    out.push(b'\n');
}

/// A line of `caravan up` itself.
#[must_use]
pub fn own(level: Level, message: &str, mut fields: Map<String, Value>) -> Vec<u8> {
    fields.insert("timestamp".to_owned(), now().into());
    fields.insert("level".to_owned(), level.as_str().into());
    fields.insert("service".to_owned(), OWN_NAME.into());
    fields.insert("message".to_owned(), message.into());
    let mut line = Value::Object(fields).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The fields of an object, for a log line.
#[must_use]
pub fn fields(value: Value) -> Map<String, Value> {
    if let Value::Object(fields) = value {
        fields
    } else {
        Map::new()
    }
}

/// None where the line says nothing, as some in the broker's greeting.
fn wrap(service: &str, text: &str) -> Option<Value> {
    // Our own processes write JSON; what is no JSON is a panic or a complaint of the loader.
    let (timestamp, level, message) = broker_line(text).unwrap_or_else(|| (now(), "WARN", text));
    (!message.is_empty()).then(
        || json!({"timestamp": timestamp, "level": level, "service": service, "message": message}),
    )
}

/// `[71] 2026/11/21 01:24:12.123456 [INF] Server is ready` (its clock is set to UTC).
fn broker_line(text: &str) -> Option<(String, &'static str, &str)> {
    let (_, rest) = text.strip_prefix('[')?.split_once("] ")?;
    let (time, rest) = rest.split_once(" [")?;
    let (level, message) = rest.split_once(']')?;
    let (date, clock) = time.split_once(' ')?;
    let timestamp = format!("{}T{clock}Z", date.replace('/', "-"));
    OffsetDateTime::parse(&timestamp, &Rfc3339).ok()?;
    let level = match level {
        "INF" => "INFO",
        "WRN" => "WARN",
        "ERR" | "FTL" => "ERROR",
        "DBG" => "DEBUG",
        "TRC" => "TRACE",
        _ => return None,
    };
    Some((timestamp, level, message.trim_start()))
}

/// The time now, RFC 3339 in UTC.
#[must_use]
pub fn now() -> String {
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(line: &str) -> String {
        let mut out = Vec::new();
        normalise("saga", line.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn objects_keep_their_form() {
        assert_eq!(
            normalised(r#"{"service":"x","a":{"b":[1]}}"#),
            "{\"service\":\"x\",\"a\":{\"b\":[1]}}\n"
        );
        assert_eq!(normalised(r#"{"a":1}"#), "{\"service\":\"saga\",\"a\":1}\n");
        assert_eq!(normalised("{}"), "{\"service\":\"saga\"}\n");
        assert_eq!(normalised("  "), "");
        assert_eq!(normalised("[71] 2026/11/21 01:24:12.123456 [INF]"), "");
    }

    #[test]
    fn plain_lines_are_wrapped() {
        let line: Value = serde_json::from_str(&normalised("{ thread \"main\" panicked")).unwrap();
        assert_eq!(
            (&line["message"], &line["level"], &line["service"]),
            (
                &json!("{ thread \"main\" panicked"),
                &json!("WARN"),
                &json!("saga")
            )
        );
        let line: Value = serde_json::from_str(&normalised(
            "[71] 2026/11/21 01:24:12.123456 [INF] Server is ready",
        ))
        .unwrap();
        assert_eq!(
            line,
            json!({"timestamp": "2026-11-21T01:24:12.123456Z", "level": "INFO", "service": "saga", "message": "Server is ready"})
        );
    }
}

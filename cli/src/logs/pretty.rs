//! One readable line of a JSON line: time, service, level, message, fields, request id.

use serde_json::{Map, Value};

use super::OWN_NAME;
use crate::mesh::topology;

/// Width of the column of services; the longest name has 15 letters.
const SERVICE_WIDTH: usize = 15;
/// One for each process of the topology, in its order.
const COLOURS: [u8; 9] = [90, 95, 36, 32, 33, 34, 35, 96, 94];
const OWN_COLOUR: u8 = 97;

/// Fields that have a place of their own or say nothing to a reader.
const PLACED: [&str; 8] = [
    "timestamp",
    "level",
    "service",
    "message",
    "request_id",
    "target",
    "trace_id",
    "span_id",
];

/// Makes JSON lines readable, with colours or without. A line that is no object stays as it is.
#[must_use]
pub fn lines(json: &[u8], colour: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    for line in json
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(object) => out.extend_from_slice(readable(&object, colour).as_bytes()),
            Err(_) => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
    out
}

fn readable(line: &Map<String, Value>, colour: bool) -> String {
    let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default();
    let service = text("service");
    // 2026-11-21T01:24:12.123456Z: the day is known to who watches.
    let clock = text("timestamp")
        .get(11..23)
        .unwrap_or("")
        .trim_end_matches('Z');
    let paint = |code: u8, text: &str| {
        if colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    };
    let level = &printable(text("level"));
    let level_colour = match level.as_str() {
        "ERROR" => 31,
        "WARN" => 33,
        "INFO" => 32,
        _ => 90,
    };
    let mut out = format!(
        "{} {} {} {}",
        paint(90, &format!("{:<12}", printable(clock))),
        paint(
            service_colour(service),
            &format!("{:<SERVICE_WIDTH$}", printable(service))
        ),
        paint(level_colour, &format!("{level:<5}")),
        printable(text("message")),
    );
    let mut field = |name: &str, value: &Value| {
        let value = value.as_str().map_or_else(|| value.to_string(), printable);
        out.push_str(&format!(
            " {}{value}",
            paint(90, &format!("{}=", printable(name)))
        ));
    };
    for (name, value) in line
        .iter()
        .filter(|(name, _)| !PLACED.contains(&name.as_str()))
    {
        match value {
            Value::Object(inner) if name == "fields" => {
                inner.iter().for_each(|(name, value)| field(name, value))
            }
            _ => field(name, value),
        }
    }
    if let Some(request) = line.get("request_id") {
        field("request_id", request);
    }
    out
}

/// A text may hold anything; nothing in it may steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn service_colour(service: &str) -> u8 {
    if service == OWN_NAME {
        return OWN_COLOUR;
    }
    topology::index(service)
        .and_then(|index| COLOURS.get(index))
        .copied()
        .unwrap_or(OWN_COLOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        br#"{"timestamp":"2026-11-21T01:24:12.123456Z","level":"INFO","service":"ordering","target":"t","message":"order placed","trace_id":"1","request_id":"r-1","lines":2,"sku":"A"}"#;

    #[test]
    fn fields_follow_the_message_and_the_request_id_is_last() {
        assert_eq!(
            String::from_utf8(lines(LINE, false)).unwrap(),
            "01:24:12.123 ordering        INFO  order placed lines=2 sku=A request_id=r-1\n"
        );
    }

    #[test]
    fn each_service_has_its_colour() {
        let coloured = String::from_utf8(lines(LINE, true)).unwrap();
        assert!(
            coloured.contains("\u{1b}[34mordering       \u{1b}[0m"),
            "{coloured:?}"
        );
        let colours: std::collections::HashSet<_> = topology::names().map(service_colour).collect();
        assert_eq!(colours.len(), topology::names().count());
    }

    #[test]
    fn a_message_cannot_steer_the_terminal() {
        let evil = br#"{"service":"x","message":"a\u001b[2Jb\nc"}"#;
        let shown = String::from_utf8(lines(evil, false)).unwrap();
        assert!(
            !shown.contains('\u{1b}') && shown.lines().count() == 1,
            "{shown:?}"
        );
        let shown = String::from_utf8(lines(evil, true)).unwrap();
        assert!(!shown.contains("\u{1b}[2J"), "{shown:?}");
    }
}

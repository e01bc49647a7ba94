//! Definitions from text.

use std::fmt;

use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use serde::de::DeserializeSeed as _;
use serde_saphyr::Options;

use crate::{
    definition::MAX_DEFINITION_BYTES,
    places::{self, Place},
};

const DEFINITION: &str = "caravan.saga.v1.Definition";
/// Deepest nesting of a text; that of a definition is below 8.
const MAX_DEPTH: usize = 16;
/// Most that all aliases of a text may stand for, in scalars, lists and maps.
const MAX_ALIASED: usize = 20_000;

/// Why a text is no definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where, where that is known.
    pub place: Option<Place>,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Reads YAML or JSON of a definition.
///
/// # Errors
/// Text that is too long, too deep, no YAML, or has fields that a definition does not have.
pub fn read(source: &str) -> Result<pb::Definition, Unreadable> {
    if source.len() > MAX_DEFINITION_BYTES {
        return Err(Unreadable {
            place: None,
            text: format!("has at most {MAX_DEFINITION_BYTES} bytes"),
        });
    }
    let descriptor = DESCRIPTOR_POOL
        .get_message_by_name(DEFINITION)
        .expect("our own contract");
    let known = descriptor.clone();
    let message = serde_saphyr::with_deserializer_from_str_with_options(source, limits(), |yaml| {
        descriptor.deserialize(yaml)
    })
    .map_err(|error| {
        let text = without_place(&error.without_snippet().to_string());
        // Who reads the message does not know where the names of its fields stand.
        let unknown = text
            .starts_with("unrecognized field")
            .then(|| places::unknown_field(source, &known))
            .flatten();
        match unknown {
            Some((place, text)) => Unreadable {
                place: Some(place),
                text,
            },
            None => Unreadable {
                place: error.location().and_then(Place::of),
                text,
            },
        }
    })?;
    message.transcode_to().map_err(|error| Unreadable {
        place: None,
        text: error.to_string(),
    })
}

/// What a text may ask of its reader.
pub(crate) fn limits() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_ALIASED,
            max_replay_stack_depth: MAX_DEPTH,
        },
        with_snippet: false,
    }
}

fn without_place(text: &str) -> String {
    let end = text.find(" at line ").unwrap_or(text.len());
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "name: a\nsteps:\n  - name: one\n    call: p.S/M\n    timeout: 2.5s\n    retry: {maxAttempts: 3, initial_backoff: 0.1s}\n";
        let json = r#"{"name":"a","steps":[{"name":"one","call":"p.S/M","timeout":"2.5s","retry":{"maxAttempts":3,"initialBackoff":"0.1s"}}]}"#;
        let definition = read(yaml).expect("YAML");
        assert_eq!(definition, read(json).expect("JSON"));
        assert_eq!(
            definition.steps[0].timeout,
            Some(prost_types::Duration {
                seconds: 2,
                nanos: 500_000_000
            })
        );
        assert_eq!(definition.steps[0].retry.expect("set").max_attempts, 3);
    }

    #[track_caller]
    fn unreadable(source: &str, place: Option<(usize, usize)>, part: &str) {
        let fault = read(source).expect_err("must be refused");
        let found = fault.place.map(|place| (place.line, place.column));
        assert!(fault.text.contains(part), "{part} not in {}", fault.text);
        assert_eq!(found, place, "{}", fault.text);
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_place() {
        unreadable("name: a\nstepz: []\n", Some((2, 1)), "stepz");
        unreadable(
            "name: a\nsteps:\n  - name: b\n    retry: {attempts: 3}\n",
            Some((4, 13)),
            "attempts",
        );
    }

    #[test]
    fn a_field_of_another_type_is_refused_with_its_place() {
        unreadable(
            "name: a\nsteps:\n  - name: b\n    pivot: maybe\n",
            Some((4, 5)),
            "bool",
        );
        unreadable("name: a\nsteps: 5\n", Some((2, 1)), "list");
        unreadable("name: a\ndeadline: soon\n", Some((2, 11)), "");
    }

    #[test]
    fn text_that_is_no_yaml_is_refused_with_its_place() {
        unreadable("steps: [}\n", Some((1, 8)), "");
        // Nothing is a definition without a name.
        assert_eq!(read("").expect("empty").name, "");
    }

    #[test]
    fn a_text_of_more_than_a_mebibyte_is_refused_unread() {
        unreadable(
            &"#".repeat(MAX_DEFINITION_BYTES + 1),
            None,
            "at most 1048576 bytes",
        );
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let parts = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{parts}]\n"));
        }
        assert!(read(&bomb).is_err());
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = |open: &str, close: &str| {
            format!(
                "description: {}{}",
                open.repeat(100_000),
                close.repeat(100_000)
            )
        };
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("- ", "")] {
            assert!(read(&deep(open, close)).is_err(), "{open}");
            let unknown = format!("stepz: 1\n{}", deep(open, close));
            assert!(read(&unknown).is_err(), "{open}");
        }
    }
}

//! Definitions from text.

use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost_reflect::DynamicMessage;

const DEFINITION: &str = "caravan.saga.v1.Definition";

/// Reads YAML or JSON of a definition.
///
/// # Errors
/// What is wrong and where, for people.
pub fn read(source: &str) -> Result<pb::Definition, String> {
    // YAML is read whole first: its numbers and texts are JSON's, and then the contract's JSON mapping holds.
    let value: serde_json::Value =
        serde_saphyr::from_str(source).map_err(|error| error.to_string())?;
    let descriptor = DESCRIPTOR_POOL
        .get_message_by_name(DEFINITION)
        .expect("our own contract");
    let message =
        DynamicMessage::deserialize(descriptor, value).map_err(|error| error.to_string())?;
    message.transcode_to().map_err(|error| error.to_string())
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

    #[test]
    fn unknown_fields_and_broken_text_are_refused_with_their_place() {
        assert!(
            read("name: a\nstepz: []\n")
                .expect_err("unknown")
                .contains("stepz")
        );
        assert!(read("name: [a\n").expect_err("broken").contains("line"));
        assert!(read("").is_err());
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
}

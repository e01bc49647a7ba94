//! Which names are valid.

/// Longest name of a definition or step, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Words that CEL keeps for itself, so that `steps.<word>` would not parse.
const CEL_WORDS: [&str; 22] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
    "struct",
];

pub(super) fn is_definition_name(name: &str) -> bool {
    is_name(name, '-')
}

pub(super) fn is_signal_name(name: &str) -> bool {
    is_name(&name.replace('_', "-"), '-')
}

pub(super) fn is_step_name(name: &str) -> bool {
    is_name(name, '_') && !CEL_WORDS.contains(&name)
}

fn is_name(name: &str, joint: char) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint)
}

/// The logical name of the service that a package belongs to: `inventory` of `caravan.inventory.v1`.
pub fn logical_name(package: &str) -> &str {
    let mut parts = package.rsplit('.');
    match (parts.next(), parts.next()) {
        (Some(version), Some(service)) if is_version(version) => service,
        (Some(service), _) => service,
        _ => package,
    }
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v')
        .is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_names_its_service() {
        assert_eq!(logical_name("caravan.inventory.v1"), "inventory");
        assert_eq!(logical_name("acme.billing.v2beta1"), "billing");
        assert_eq!(logical_name("billing"), "billing");
    }

    #[test]
    fn names_are_plain() {
        assert!(is_step_name("reserve_stock") && is_definition_name("check-out2"));
        for name in ["", "Reserve", "2nd", "a-b", "in", "a b", "ä"] {
            assert!(!is_step_name(name), "{name}");
        }
        assert!(!is_definition_name(&"a".repeat(65)));
    }
}

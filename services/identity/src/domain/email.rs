//! An e-mail address as accounts are found by it.

use std::fmt;

/// Longest address, in bytes (RFC 5321).
pub const MAX_EMAIL_BYTES: usize = 254;

/// An address in lower case, without white space around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// `None` where the text cannot be an address.
    pub fn parse(text: &str) -> Option<Self> {
        let email = text.trim().to_lowercase();
        let (name, domain) = email.rsplit_once('@')?;
        let fits = !name.is_empty()
            && !domain.is_empty()
            && email.len() <= MAX_EMAIL_BYTES
            && !email
                .contains(|character: char| character.is_whitespace() || character.is_control());
        fits.then_some(Self(email))
    }

    /// `name@domain`
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_outer_space_do_not_make_another_person() {
        assert_eq!(
            Email::parse(" Ada@Example.ORG "),
            Email::parse("ada@example.org")
        );
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a da@example.org",
            "ada@exam\nple.org",
            &format!("{}@b", "a".repeat(254)),
        ] {
            assert_eq!(Email::parse(text), None, "{text}");
        }
    }
}

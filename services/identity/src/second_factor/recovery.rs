//! Recovery codes: for who has lost the app. Each is good once; only hashes are kept.

use aws_lc_rs::{error::Unspecified, rand};
use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256};

/// Codes that a person has at first.
pub const CODES: usize = 10;
/// Randomness of a code, in bytes: too much to be found out from its hash.
const CODE_BYTES: usize = 10;
/// Letters between two dashes.
const GROUP: usize = 4;

/// New codes, as people write them down: `ABCD-EFGH-IJKL-MNOP`.
///
/// # Errors
/// The system has no random bytes.
pub fn new() -> Result<Vec<String>, Unspecified> {
    (0..CODES).map(|_| one()).collect()
}

fn one() -> Result<String, Unspecified> {
    let mut bytes = [0; CODE_BYTES];
    rand::fill(&mut bytes)?;
    let letters = BASE32_NOPAD.encode(&bytes);
    let groups: Vec<_> = letters
        .as_bytes()
        .chunks(GROUP)
        .map(String::from_utf8_lossy)
        .collect();
    Ok(groups.join("-"))
}

/// What is kept of a code; however somebody types it, with or without dashes, in small letters or with digits that look like
/// letters.
pub fn hash(account: uuid::Uuid, code: &str) -> Vec<u8> {
    let letters = code.chars().filter_map(|c| match c {
        '0' => Some('O'),
        '1' => Some('I'),
        '8' => Some('B'),
        c => c.is_ascii_alphanumeric().then(|| c.to_ascii_uppercase()),
    });
    let mut hasher = Sha256::new();
    hasher.update(account.as_bytes());
    hasher.update(letters.collect::<String>());
    hasher.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn codes_differ_and_are_found_however_they_are_typed() {
        let codes = new().expect("randomness");
        assert_eq!(codes.len(), CODES);
        let kept: std::collections::HashSet<_> =
            codes.iter().map(|code| hash(Uuid::nil(), code)).collect();
        assert_eq!(kept.len(), CODES);
        let code = &codes[0];
        assert_eq!(code.len(), 19);
        let typed = code.to_lowercase().replace('-', " ").replace('o', "0");
        assert_eq!(hash(Uuid::nil(), &typed), hash(Uuid::nil(), code));
        assert_ne!(hash(Uuid::max(), code), hash(Uuid::nil(), code));
    }
}

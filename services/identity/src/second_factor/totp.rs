//! Codes that follow from a secret and the time (TOTP, RFC 6238), as authenticator apps make them: SHA-1, 6 digits, 30 s.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE32_NOPAD;
use time::OffsetDateTime;

/// Bytes of a secret: as many as the hash has, as RFC 4226 wants it.
pub const SECRET_BYTES: usize = 20;
/// Digits of a code.
const DIGITS: usize = 6;
/// Seconds that a code is shown.
const STEP_S: i64 = 30;
/// Steps before and after the present one whose codes are taken too: clocks differ, and people type slowly.
const SKEW_STEPS: i64 = 1;
/// Who made the secret, as apps show it.
const ISSUER: &str = "Caravan";

/// The time step of the code, where it is right now and newer than `last_step`.
pub fn accept(secret: &[u8], code: &str, last_step: i64, now: OffsetDateTime) -> Option<i64> {
    let present = step(now);
    // All are compared, so that the time does not tell which one it was.
    let mut accepted = None;
    for step in present - SKEW_STEPS..=present + SKEW_STEPS {
        let right = self::code(secret, step);
        let is_right = constant_time::verify_slices_are_equal(right.as_bytes(), code.as_bytes());
        if is_right.is_ok() && step > last_step {
            accepted = Some(step);
        }
    }
    accepted
}

/// The code of a time step.
pub fn code(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    // RFC 4226, section 5.3: the last four bits say which 31 bits count.
    let offset = usize::from(tag[tag.len() - 1] & 0xf);
    let word = [
        tag[offset] & 0x7f,
        tag[offset + 1],
        tag[offset + 2],
        tag[offset + 3],
    ];
    let number = u32::from_be_bytes(word) % 10_u32.pow(DIGITS as u32);
    format!("{number:0DIGITS$}")
}

/// The time step that a moment is in.
pub fn step(now: OffsetDateTime) -> i64 {
    now.unix_timestamp().div_euclid(STEP_S)
}

/// A secret as people type it.
pub fn text(secret: &[u8]) -> String {
    BASE32_NOPAD.encode(secret)
}

/// A secret as apps read it from a picture (the Key Uri Format of authenticator apps).
pub fn uri(secret: &[u8], account_name: &str) -> String {
    let (secret, name) = (text(secret), percent_encoded(account_name));
    format!(
        "otpauth://totp/{ISSUER}:{name}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}"
    )
}

fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B.
    const SECRET: &[u8] = b"12345678901234567890";

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(second).expect("a time")
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (second, eight_digits) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(code(SECRET, step(at(second))), eight_digits[2..]);
        }
    }

    #[test]
    fn a_code_is_taken_once_and_one_step_around_its_time() {
        let now = at(1_234_567_890);
        let present = step(now);
        for (step, taken) in [
            (present - 2, false),
            (present - 1, true),
            (present, true),
            (present + 1, true),
            (present + 2, false),
        ] {
            let accepted = accept(SECRET, &code(SECRET, step), 0, now);
            assert_eq!(accepted, taken.then_some(step));
        }
        let code = code(SECRET, present);
        assert_eq!(accept(SECRET, &code, present, now), None, "used");
        assert_eq!(accept(SECRET, &code, present + 1, now), None, "older");
        assert_eq!(accept(SECRET, "", 0, now), None);
        assert_eq!(accept(b"another secret of 20", &code, 0, now), None);
    }

    #[test]
    fn apps_read_the_uri() {
        assert_eq!(
            uri(SECRET, "ada+1@example.org"),
            "otpauth://totp/Caravan:ada%2B1%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Caravan&algorithm=SHA1&digits=6&period=30"
        );
    }
}

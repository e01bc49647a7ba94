//! Variables of a path, decoded.

use std::borrow::Cow;

use crate::InputError;

/// Reserved characters (RFC 6570): a variable of several segments keeps them encoded, so that `%2F` is told from `/`.
const RESERVED: &[u8] = b":/?#[]@!$&'()*+,;=";

/// Decodes percent escapes. Where `keep_reserved`, those of reserved characters stay as they are.
///
/// # Errors
/// Where an escape is malformed or the result is not UTF-8.
pub(crate) fn decode(text: &str, keep_reserved: bool) -> Result<Cow<'_, str>, InputError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        if bytes[position] != b'%' {
            decoded.push(bytes[position]);
            position += 1;
            continue;
        }
        let escape = bytes.get(position + 1..position + 3);
        let byte = escape.and_then(hex).ok_or_else(bad_escape)?;
        if keep_reserved && RESERVED.contains(&byte) {
            decoded.extend_from_slice(&bytes[position..position + 3]);
        } else {
            decoded.push(byte);
        }
        position += 3;
    }
    let text = String::from_utf8(decoded).map_err(|_| InputError::new("is not UTF-8"))?;
    Ok(Cow::Owned(text))
}

fn hex(digits: &[u8]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let (high, low) = (value(digits[0])?, value(digits[1])?);
    Some((high << 4 | low) as u8)
}

fn bad_escape() -> InputError {
    InputError::new("has a malformed percent escape")
}

/// The part of a path from one segment to before another, slashes between them included.
/// `path` begins with a slash; segments count from 0.
pub(crate) fn segments(path: &str, from: usize, to: Option<usize>) -> &str {
    let start = start_of(path, from);
    let end = match to {
        Some(to) => start_of(path, to).saturating_sub(1),
        None => path.len(),
    };
    path.get(start..end.max(start)).unwrap_or_default()
}

/// Where a segment starts; one past the end of the path where it has no such segment.
fn start_of(path: &str, segment: usize) -> usize {
    let mut slashes = path.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
    match slashes.nth(segment) {
        Some((at, _)) => at + 1,
        None => path.len() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded() {
        for (text, keep, decoded) in [
            ("tea", false, "tea"),
            ("a%20b%2Fc", false, "a b/c"),
            ("a%20b%2Fc/d", true, "a b%2Fc/d"),
            ("%c3%A9", true, "é"),
            ("a+b", false, "a+b"),
            ("%3a%3A", true, "%3a%3A"),
        ] {
            assert_eq!(decode(text, keep).expect(text), decoded);
        }
        for text in ["%", "%2", "%zz", "%ff", "a%C3", "%+1"] {
            assert!(decode(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn segments_are_cut_out() {
        let path = "/v1/shelves/1/books/2";
        assert_eq!(segments(path, 1, Some(3)), "shelves/1");
        assert_eq!(segments(path, 0, Some(1)), "v1");
        assert_eq!(segments(path, 4, Some(5)), "2");
        assert_eq!(segments(path, 2, None), "1/books/2");
        assert_eq!(segments(path, 5, None), "");
        assert_eq!(segments("/v1", 1, None), "");
        assert_eq!(segments("/v1/", 1, None), "");
    }
}

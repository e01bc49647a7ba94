//! JSON text out: strings, numbers.

/// For each byte the letter of its escape, `u` for `\u00XX`, 0 for none.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// The lowest bit of each of eight bytes.
const ONES: u64 = u64::MAX / 255;
/// The highest bit of each of eight bytes.
const TOPS: u64 = ONES << 7;

/// Eight bytes at once: the top bit of each that needs an escape, and, of bytes after such a one, of some more. A byte below
/// `n` (at most 0x80) borrows from its top bit when `n` is subtracted.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let quote = below(word ^ (ONES * b'"' as u64), 1);
    let backslash = below(word ^ (ONES * b'\\' as u64), 1);
    (below(word, 0x20) | quote | backslash) & TOPS
}

/// Length of the start of `bytes` that needs no escape in JSON: no quote, backslash or control character.
#[inline]
pub(crate) fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = special_bytes(u64::from_le_bytes(*word));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let rest = words.len() * 8;
    let plain = bytes[rest..]
        .iter()
        .take_while(|byte| ESCAPES[usize::from(**byte)] == 0);
    rest + plain.count()
}

/// Bytes of a [`Piece`] that is copied as a block.
const BLOCK_BYTES: usize = 32;

/// Text that is written again and again. A short one is copied as a block of a fixed size and cut to its length, which costs
/// half of a copy whose size is only known when it is made.
#[derive(Debug)]
pub(crate) enum Piece {
    Short([u8; BLOCK_BYTES], usize),
    Long(Box<[u8]>),
}

impl Piece {
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut block = [0; BLOCK_BYTES];
        match block.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text);
                Self::Short(block, text.len())
            }
            None => Self::Long(text.into()),
        }
    }

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Short(block, length) => {
                let end = out.len() + length;
                out.extend_from_slice(block);
                out.truncate(end);
            }
            Self::Long(text) => out.extend_from_slice(text),
        }
    }
}

/// Whether `bytes` are ASCII that needs no escape in JSON.
#[inline]
fn is_plain_ascii(bytes: &[u8]) -> bool {
    let is_plain = |word: u64| special_bytes(word) | word & TOPS == 0;
    match bytes {
        [] => true,
        // The last eight bytes, which overlap those before.
        [.., a, b, c, d, e, f, g, h] => {
            let (words, _) = bytes.as_chunks::<8>();
            let last = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            words.iter().all(|word| is_plain(u64::from_le_bytes(*word))) && is_plain(last)
        }
        // Two halves that overlap.
        [a, b, c, d, ..] => {
            let [.., e, f, g, h] = bytes else {
                return false;
            };
            is_plain(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]))
        }
        _ => bytes
            .iter()
            .all(|byte| byte.is_ascii() && ESCAPES[usize::from(*byte)] == 0),
    }
}

/// Writes a string that may not be one; false where it is not UTF-8.
#[inline]
#[must_use]
pub(crate) fn put_wire_string(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    if is_plain_ascii(bytes) {
        out.reserve(bytes.len() + 2);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
        return true;
    }
    let text = std::str::from_utf8(bytes);
    text.map(|text| put_string(out, text)).is_ok()
}

/// Writes a JSON string with its quotes.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, tail) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let [byte, tail @ ..] = tail else { break };
        put_escape(out, *byte, ESCAPES[usize::from(*byte)]);
        rest = tail;
    }
    out.push(b'"');
}

fn put_escape(out: &mut Vec<u8>, byte: u8, escape: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[b'\\', escape]);
    if escape == b'u' {
        let (high, low) = (byte >> 4, byte & 15);
        out.extend_from_slice(&[b'0', b'0', HEX[high as usize], HEX[low as usize]]);
    }
}

/// Writes an integer in digits.
#[inline]
pub(crate) fn put_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes an integer as a JSON string: 64 bits do not fit a JavaScript number.
#[inline]
pub(crate) fn put_quoted_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.push(b'"');
    put_integer(out, value);
    out.push(b'"');
}

/// Writes a number, or the string that stands for one that JSON does not have.
pub(crate) fn put_double(out: &mut Vec<u8>, value: f64) {
    match special(value) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => put_finite(out, zmij::Buffer::new().format_finite(value)),
    }
}

/// As [`put_double`], with the fewest digits that tell this `f32` apart.
pub(crate) fn put_float(out: &mut Vec<u8>, value: f32) {
    match special(f64::from(value)) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => put_finite(out, zmij::Buffer::new().format_finite(value)),
    }
}

/// `1` rather than `1.0`, as JavaScript writes it.
fn put_finite(out: &mut Vec<u8>, digits: &str) {
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    out.extend_from_slice(digits.as_bytes());
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_finite() {
        None
    } else if value.is_nan() {
        Some("\"NaN\"")
    } else if value > 0.0 {
        Some("\"Infinity\"")
    } else {
        Some("\"-Infinity\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn pieces_are_written_whole() {
        let text = "x".repeat(2 * BLOCK_BYTES);
        for length in 0..=text.len() {
            let piece = Piece::new(&text.as_bytes()[..length]);
            let twice = written(|out| {
                piece.put(out);
                piece.put(out);
            });
            assert_eq!(twice.len(), 2 * length);
        }
    }

    #[test]
    fn strings_are_escaped_as_json_wants() {
        for (text, json) in [
            ("", r#""""#),
            ("tea", r#""tea""#),
            ("a\"b\\c\n\r\t", r#""a\"b\\c\n\r\t""#),
            ("\u{0}\u{1f}\u{8}\u{c}", r#""\u0000\u001f\b\f""#),
            ("ä€🦀\u{2028}", "\"ä€🦀\u{2028}\""),
        ] {
            assert_eq!(written(|out| put_string(out, text)), json);
        }
    }

    #[test]
    fn plain_text_ends_at_the_first_byte_that_needs_an_escape() {
        for length in 0..40 {
            let mut text = vec![b'~'; length];
            assert_eq!(plain_length(&text), length);
            assert!(is_plain_ascii(&text));
            for at in 0..length {
                for byte in 0..=255u8 {
                    text[at] = byte;
                    let special = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(
                        plain_length(&text),
                        if special { at } else { length },
                        "{byte}"
                    );
                    let plain = !special && text.is_ascii();
                    assert_eq!(is_plain_ascii(&text), plain, "{byte}");
                }
                text[at] = if length % 2 == 0 { 0xff } else { b'~' };
            }
        }
    }

    #[test]
    fn numbers_are_short_and_exact() {
        for (value, json) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(written(|out| put_double(out, value)), json);
        }
        for value in [1e300, f64::MIN_POSITIVE, f64::MAX, 123_456_789.125] {
            let text = written(|out| put_double(out, value));
            assert_eq!(text.parse::<f64>().expect("a number"), value);
        }
        assert_eq!(written(|out| put_float(out, 0.1)), "0.1");
        assert_eq!(
            written(|out| put_quoted_integer(out, i64::MIN)),
            "\"-9223372036854775808\""
        );
    }
}

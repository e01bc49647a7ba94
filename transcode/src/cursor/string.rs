//! Strings of a JSON text and their escapes.

use std::borrow::Cow;

use super::{Cursor, Result};
use crate::text;

impl<'a> Cursor<'a> {
    /// The string that stands next; borrowed where it has no escapes.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        if let Some(plain) = self.plain_string()? {
            return Ok(Cow::Borrowed(plain));
        }
        let mut bytes = Vec::new();
        self.unescape(&mut bytes)?;
        let text = String::from_utf8(bytes).expect("parts of a string and whole characters");
        Ok(Cow::Owned(text))
    }

    /// The string that stands next where it has no escapes; else nothing is consumed.
    #[inline]
    pub(crate) fn plain_string(&mut self) -> Result<Option<&'a str>> {
        if self.peek() != Some(b'"') {
            return Err(self.fault("a string"));
        }
        let rest = &self.text[self.position + 1..];
        match stop(rest.as_bytes()) {
            Some((length, b'"')) => {
                self.position += length + 2;
                Ok(Some(&rest[..length]))
            }
            Some((_, b'\\')) => Ok(None),
            Some((length, _)) => {
                self.position += 1 + length;
                Err(self.fault("no control character in a string"))
            }
            None => {
                self.position = self.text.len();
                Err(self.fault("the end of the string"))
            }
        }
    }

    /// Appends the string that stands next, its escapes resolved.
    pub(crate) fn unescape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.expect(b'"', "a string")?;
        loop {
            let rest = &self.text.as_bytes()[self.position..];
            let Some((length, stop)) = stop(rest) else {
                self.position = self.text.len();
                return Err(self.fault("the end of the string"));
            };
            out.extend_from_slice(&rest[..length]);
            self.position += length;
            match stop {
                b'"' => {
                    self.position += 1;
                    return Ok(());
                }
                b'\\' => {
                    let character = self.escape()?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(self.fault("no control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let letter = self.text.as_bytes().get(self.position + 1).copied();
        let plain = match letter {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.fault("an escape")),
        };
        self.position += 2;
        Ok(plain)
    }

    /// `\uXXXX`, or two of them for a character outside the basic plane.
    fn unicode(&mut self) -> Result<char> {
        let unit = self.unit()?;
        let code = match unit {
            0xd800..=0xdbff => {
                let low = self.unit()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(self.fault("the second half of a surrogate pair before here"));
                }
                0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            }
            _ => unit,
        };
        char::from_u32(code).ok_or_else(|| self.fault("no lone surrogate before here"))
    }

    fn unit(&mut self) -> Result<u32> {
        let rest = &self.text.as_bytes()[self.position..];
        let digits = rest
            .strip_prefix(b"\\u")
            .and_then(|rest| rest.get(..4))
            .ok_or_else(|| self.fault("\\u and four hexadecimal digits"))?;
        let mut unit = 0;
        for digit in digits {
            let value = char::from(*digit).to_digit(16);
            unit = unit << 4 | value.ok_or_else(|| self.fault("four hexadecimal digits"))?;
        }
        self.position += 6;
        Ok(unit)
    }
}

/// Where the plain part of a string ends, and the byte that ends it.
#[inline]
fn stop(bytes: &[u8]) -> Option<(usize, u8)> {
    let length = text::plain_length(bytes);
    Some((length, *bytes.get(length)?))
}

//! Reads JSON text token by token, without building anything.

mod string;

use std::borrow::Cow;

use crate::{InputError, MAX_DEPTH, number};

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

type Result<T> = std::result::Result<T, InputError>;

impl<'a> Cursor<'a> {
    /// # Errors
    /// Where the bytes are not UTF-8.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            InputError::new(format!("is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        Ok(Self { text, position: 0 })
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn go_back(&mut self, position: usize) {
        self.position = position;
    }

    /// The next byte that is no white space, not consumed.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.position) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.position += 1;
        }
        None
    }

    /// A fault at this place.
    #[cold]
    pub(crate) fn fault(&self, expected: &str) -> InputError {
        let before = &self.text[..self.text.floor_char_boundary(self.position)];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        InputError::new(format!(
            "malformed JSON: expected {expected} at line {line} column {column}"
        ))
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &str) -> Result<()> {
        if self.peek() == Some(byte) {
            self.position += 1;
            Ok(())
        } else {
            Err(self.fault(expected))
        }
    }

    /// Refuses anything but white space.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("the end")),
        }
    }

    pub(crate) fn open_object(&mut self) -> Result<()> {
        self.expect(b'{', "an object")
    }

    pub(crate) fn open_array(&mut self) -> Result<()> {
        self.expect(b'[', "an array")
    }

    /// Consumes the key that is expected next where it stands there as `label`, `,"name":`, without white space: most JSON is
    /// compact and follows the order of the contract. `first` as in [`Self::key`].
    #[inline]
    pub(crate) fn expected_key(&mut self, label: &str, first: &mut bool) -> bool {
        let label = &label.as_bytes()[usize::from(*first)..];
        let stands = self.text.as_bytes()[self.position..].starts_with(label);
        if stands {
            self.position += label.len();
            *first = false;
        }
        stands
    }

    /// The next key, or `None` after the object's end. `first` is true only at the first call.
    #[inline]
    pub(crate) fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>> {
        match self.peek() {
            Some(b'}') => {
                self.position += 1;
                return Ok(None);
            }
            Some(b',') if !*first => self.position += 1,
            _ if *first => {}
            _ => return Err(self.fault("',' or '}'")),
        }
        *first = false;
        if self.peek() != Some(b'"') {
            return Err(self.fault("a name in double quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "':'")?;
        Ok(Some(key))
    }

    /// Whether another element follows; consumes the array's end. `first` as in [`Self::key`].
    #[inline]
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<bool> {
        match self.peek() {
            Some(b']') if *first => {
                self.position += 1;
                return Ok(false);
            }
            _ if *first => {
                *first = false;
                return Ok(true);
            }
            Some(b']') => {
                self.position += 1;
                return Ok(false);
            }
            Some(b',') => self.position += 1,
            _ => return Err(self.fault("',' or ']'")),
        }
        if self.peek() == Some(b']') {
            return Err(self.fault("a value"));
        }
        Ok(true)
    }

    /// Consumes `null` where it stands next.
    #[inline]
    pub(crate) fn null(&mut self) -> Result<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    pub(crate) fn boolean(&mut self) -> Result<Option<bool>> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| Some(true)),
            Some(b'f') => self.word("false").map(|()| Some(false)),
            _ => Ok(None),
        }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if !self.text[self.position..].starts_with(word) {
            return Err(self.fault("a value"));
        }
        self.position += word.len();
        Ok(())
    }

    /// The number that stands next, as its text.
    pub(crate) fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let rest = &self.text[self.position..];
        let length = number::length(rest.as_bytes()).ok_or_else(|| self.fault("a value"))?;
        self.position += length;
        Ok(&rest[..length])
    }

    /// Steps over a value, whatever it is, and checks that it is JSON.
    pub(crate) fn skip(&mut self, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        match self.peek() {
            Some(b'{') => {
                self.position += 1;
                let mut first = true;
                while self.key(&mut first)?.is_some() {
                    self.skip(depth + 1)?;
                }
            }
            Some(b'[') => {
                self.position += 1;
                let mut first = true;
                while self.element(&mut first)? {
                    self.skip(depth + 1)?;
                }
            }
            Some(b'"') => drop(self.string()?),
            Some(b't' | b'f') => drop(self.boolean()?),
            Some(b'n') => drop(self.null()?),
            _ => drop(self.number()?),
        }
        Ok(())
    }
}

#[cold]
pub(crate) fn too_deep() -> InputError {
    InputError::new(format!("is nested deeper than {MAX_DEPTH} levels"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(json: &str) -> Result<()> {
        let mut cursor = Cursor::new(json.as_bytes())?;
        cursor.skip(0)?;
        cursor.end()
    }

    #[test]
    fn json_is_told_from_what_only_looks_like_it() {
        for json in [
            "null",
            " {} ",
            "[]",
            "[1,-2.5e-3,\"x\",true,false,null,{\"a\":[{}]}]",
            "\"\\u00e9\\ud83e\\udd80\\/\"",
            "0",
        ] {
            skipped(json).expect(json);
        }
        for json in [
            "",
            "{",
            "}",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{,}",
            "{\"a\"}",
            "{a:1}",
            "{'a':1}",
            "01",
            "1.",
            "+1",
            "nul",
            "truex",
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "1 2",
            "[1 2]",
            "NaN",
            "// c\n1",
            "{\"a\":1 \"b\":2}",
        ] {
            assert!(skipped(json).is_err(), "{json}");
        }
    }

    #[test]
    fn strings_lose_their_escapes() {
        let mut cursor = Cursor::new(br#""a\"\\\/\b\f\n\r\t\u00e9\ud83e\udd80z""#).expect("UTF-8");
        assert_eq!(
            cursor.string().expect("a string"),
            "a\"\\/\u{8}\u{c}\n\r\té🦀z"
        );
    }

    #[test]
    fn faults_say_line_and_column() {
        let fault = skipped("{\"a\": 1,\n \"b\" 2}").expect_err("no colon");
        assert!(
            fault.problem().ends_with("expected ':' at line 2 column 6"),
            "{fault}"
        );
    }

    #[test]
    fn nesting_ends_somewhere() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        skipped(&nested(100)).expect("allowed");
        assert!(skipped(&nested(102)).is_err());
        assert!(skipped(&"[".repeat(1_000_000)).is_err());
    }
}

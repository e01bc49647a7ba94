//! Lines of a body that comes in pieces.

use bytes::{Bytes, BytesMut};

/// A line that is longer than it may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts a body into lines. Holds one line at most, beside the piece at hand.
#[derive(Debug)]
pub(super) struct Lines {
    waiting: BytesMut,
    /// Bytes of `waiting` that hold no end of a line.
    looked_at: usize,
    max_bytes: usize,
    number: u64,
}

impl Lines {
    /// Lines of at most `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            waiting: BytesMut::new(),
            looked_at: 0,
            max_bytes,
            number: 0,
        }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.waiting.extend_from_slice(piece);
    }

    /// The next whole line that is not empty.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            let end = self.waiting[self.looked_at..]
                .iter()
                .position(|byte| *byte == b'\n');
            let Some(end) = end.map(|end| self.looked_at + end) else {
                self.looked_at = self.waiting.len();
                return match self.looked_at > self.max_bytes {
                    true => Err(TooLong),
                    false => Ok(None),
                };
            };
            let line = self.waiting.split_to(end + 1).freeze();
            self.looked_at = 0;
            self.number += 1;
            if end > self.max_bytes {
                return Err(TooLong);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// What stands after the last end of a line.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.waiting).freeze();
        self.looked_at = 0;
        self.number += 1;
        (!rest.trim_ascii().is_empty()).then_some(rest)
    }

    /// Of the last line that was taken, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_out_however_they_come() {
        let text = b"{\"a\":1}\r\n\n  \n{\"a\":2}\n{\"a\":3}";
        for size in 1..=text.len() {
            let mut lines = Lines::new(100);
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                while let Some(line) = lines.next().expect("short") {
                    found.push((lines.number(), line));
                }
            }
            found.extend(lines.rest().map(|line| (lines.number(), line)));
            let found: Vec<_> = found
                .iter()
                .map(|(number, line)| (*number, line.trim_ascii()))
                .collect();
            let expected = [(1, &b"{\"a\":1}"[..]), (4, b"{\"a\":2}"), (5, b"{\"a\":3}")];
            assert_eq!(found, expected, "pieces of {size}");
            assert_eq!(lines.rest(), None);
        }
    }

    #[test]
    fn a_line_has_a_limit() {
        let mut lines = Lines::new(3);
        lines.push(b"abc\nab");
        assert_eq!(lines.next(), Ok(Some(Bytes::from_static(b"abc\n"))));
        assert_eq!(lines.next(), Ok(None));
        lines.push(b"cd");
        assert_eq!(lines.next(), Err(TooLong));
        let mut lines = Lines::new(3);
        lines.push(b"abcd\n");
        assert_eq!(lines.next(), Err(TooLong));
    }
}

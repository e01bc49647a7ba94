//! Pages of lists that are ordered by a unique id: `page_size`, `page_token`, `next_page_token`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::Violation;

/// Rows of a page where the caller names no size.
const DEFAULT_ROWS: usize = 20;
/// Rows of the largest page.
const MAX_ROWS: usize = 100;
/// First byte of every token; another layout will take another one.
const LAYOUT: u8 = 2;
/// Bytes behind layout and id that tell whether they are as they were given out. No secret is in them: a token says no more
/// than an id of the list, and whoever may see that may begin there.
const CHECK_BYTES: usize = 4;
/// Bytes of a token.
const TOKEN_BYTES: usize = 1 + 16 + CHECK_BYTES;

/// The page that a caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The page begins behind the row with this id; at the start of the list where it is `None`.
    pub after: Option<Uuid>,
    rows: usize,
}

impl Page {
    /// Reads the fields of a list request.
    ///
    /// # Errors
    /// `page_token` is not one that a page of a list came with.
    pub fn of(page_size: i32, page_token: &str) -> Result<Self, Violation> {
        let rows = match usize::try_from(page_size) {
            Ok(0) | Err(_) => DEFAULT_ROWS,
            Ok(rows) => rows.min(MAX_ROWS),
        };
        Ok(Self {
            after: decode(page_token)?,
            rows,
        })
    }

    /// Rows to read: one more than the page has, which tells whether there is a next page.
    pub fn limit(&self) -> u64 {
        self.rows as u64 + 1
    }

    /// Cuts what was read to the page and answers the token of the next one; empty behind the last page.
    pub fn cut<T>(&self, rows: &mut Vec<T>, id: impl Fn(&T) -> Uuid) -> String {
        if rows.len() <= self.rows {
            return String::new();
        }
        rows.truncate(self.rows);
        rows.last().map(|last| encode(id(last))).unwrap_or_default()
    }
}

fn encode(last: Uuid) -> String {
    let mut bytes = [LAYOUT; TOKEN_BYTES];
    bytes[1..17].copy_from_slice(last.as_bytes());
    bytes[17..].copy_from_slice(&check(last));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn check(last: Uuid) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new()
        .chain_update([LAYOUT])
        .chain_update(last.as_bytes())
        .finalize();
    std::array::from_fn(|place| digest[place])
}

fn decode(token: &str) -> Result<Option<Uuid>, Violation> {
    if token.is_empty() {
        return Ok(None);
    }
    match URL_SAFE_NO_PAD.decode(token).ok().as_deref() {
        Some([LAYOUT, rest @ ..]) => rest.split_at_checked(16).and_then(|(id, given)| {
            let id = Uuid::from_slice(id).ok()?;
            (given == check(id)).then_some(id)
        }),
        _ => None,
    }
    .map(Some)
    .ok_or_else(|| {
        Violation::new(
            "pageToken",
            "is not a token that a page of this list came with",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_leads_to_the_next_one() {
        let mut rows: Vec<_> = (0..3).map(|_| Uuid::now_v7()).collect();
        let page = Page::of(2, "").expect("the first page");
        let second = rows[1];
        let token = page.cut(&mut rows, |id| *id);
        assert_eq!(rows.len(), 2);
        let next = Page::of(2, &token).expect("ours");
        assert_eq!(next.after, Some(second));
        assert_eq!(next.cut(&mut rows, |id| *id), "", "nothing behind it");
    }

    #[test]
    fn other_text_is_refused_by_name() {
        for token in [
            "x",
            "AAAA",
            "not base64!",
            &URL_SAFE_NO_PAD.encode([1; 17]),
            &URL_SAFE_NO_PAD.encode([LAYOUT; 17]),
            &URL_SAFE_NO_PAD.encode([LAYOUT; TOKEN_BYTES]),
            &URL_SAFE_NO_PAD.encode([LAYOUT; TOKEN_BYTES + 1]),
        ] {
            assert_eq!(
                Page::of(0, token).expect_err("not ours").field,
                "pageToken",
                "{token}"
            );
        }
    }

    #[test]
    fn a_changed_token_is_refused_wherever_it_was_changed() {
        let token = encode(Uuid::now_v7());
        assert!(Page::of(0, &token).is_ok());
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("letters");
            assert!(Page::of(0, &changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn sizes_have_a_default_and_an_end() {
        assert_eq!(
            Page::of(0, "").expect("fine").limit(),
            DEFAULT_ROWS as u64 + 1
        );
        assert_eq!(
            Page::of(i32::MAX, "").expect("fine").limit(),
            MAX_ROWS as u64 + 1
        );
    }
}

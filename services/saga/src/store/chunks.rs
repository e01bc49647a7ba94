//! Statements for many rows, in few shapes: each shape is prepared once.

use std::fmt::Write as _;

use sea_orm::DbBackend;

/// Most rows of one statement.
const MAX_ROWS: usize = 64;

/// Sizes that add up to `rows`: powers of two, largest first.
pub(super) fn sizes(rows: usize) -> impl Iterator<Item = usize> {
    let mut left = rows;
    std::iter::from_fn(move || {
        let size = 1 << left.checked_ilog2()?;
        let size = size.min(MAX_ROWS);
        left -= size;
        Some(size)
    })
}

/// `($1, $2), ($3, $4)` for 2 rows of 2 columns; `(?, ?), (?, ?)` on SQLite, where each use of a name searches all names.
pub(super) fn tuples(backend: DbBackend, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 5);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let comma = if column == 0 { "" } else { ", " };
            let _ = match backend {
                DbBackend::Sqlite => write!(text, "{comma}?"),
                _ => write!(text, "{comma}${}", row * columns + column + 1),
            };
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_place_once() {
        assert_eq!(sizes(0).count(), 0);
        assert_eq!(sizes(7).collect::<Vec<_>>(), [4, 2, 1]);
        assert_eq!(sizes(131).collect::<Vec<_>>(), [64, 64, 2, 1]);
        assert_eq!(tuples(DbBackend::Postgres, 2, 2), "($1, $2), ($3, $4)");
        assert_eq!(tuples(DbBackend::Sqlite, 2, 2), "(?, ?), (?, ?)");
    }
}

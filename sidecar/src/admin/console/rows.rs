//! The rows of one answer: values of a few types, and no more rows than are shown.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::time::Duration;

/// The rows of one answer at the most. Beyond them the most important are shown, and a notice says how many there are.
pub const MOST_ROWS: usize = 1_000;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// None.
    Null,
    /// `text`.
    Text(Box<str>),
    /// `int8`.
    Int(i64),
    /// `float8`.
    Float(f64),
    /// `bool`.
    Bool(bool),
}

/// Rows that are being gathered: the `most` of highest rank, and among equals the first.
#[derive(Debug)]
pub struct Rows {
    most: usize,
    seen: u64,
    kept: BinaryHeap<Kept>,
}

/// A row and its place. The greatest is the one that goes first.
#[derive(Debug)]
struct Kept {
    rank: u64,
    number: u64,
    row: Vec<Cell>,
}

impl Rows {
    /// None yet; `most` are kept.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            most,
            seen: 0,
            kept: BinaryHeap::new(),
        }
    }

    /// One more row, made only if it is kept. The higher its rank the sooner it is.
    pub fn push(&mut self, rank: u64, make: impl FnOnce() -> Vec<Cell>) {
        let number = self.seen;
        self.seen += 1;
        if self.kept.len() >= self.most {
            if self.kept.peek().is_none_or(|least| rank <= least.rank) {
                return;
            }
            self.kept.pop();
        }
        self.kept.push(Kept {
            rank,
            number,
            row: make(),
        });
    }

    /// How many there were, kept or not.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Those that were kept, the highest rank first, and among equals the first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<Vec<Cell>> {
        let kept = self.kept.into_sorted_vec();
        kept.into_iter().map(|kept| kept.row).collect()
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .rank
            .cmp(&self.rank)
            .then_with(|| self.number.cmp(&other.number))
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Kept {}

impl Cell {
    /// As PostgreSQL writes it in text; `None` is null.
    #[must_use]
    pub fn to_text(&self) -> Option<Vec<u8>> {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = match self {
            Self::Null => return None,
            // A NUL inside of a text cannot be said.
            Self::Text(value) => return Some(value.replace('\0', "").into_bytes()),
            Self::Int(value) => write!(text, "{value}"),
            Self::Float(value) => write!(text, "{value}"),
            Self::Bool(value) => write!(text, "{}", if *value { 't' } else { 'f' }),
        };
        Some(text.into_bytes())
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl From<u64> for Cell {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<usize> for Cell {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// In seconds, to the millisecond where it is longer than that.
impl From<Duration> for Cell {
    fn from(value: Duration) -> Self {
        let seconds = value.as_secs_f64();
        Self::Float(if seconds < 0.001 {
            seconds
        } else {
            (seconds * 1000.0).round() / 1000.0
        })
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(most: usize, ranks: &[u64]) -> (u64, Vec<String>) {
        let mut rows = Rows::new(most);
        for (at, rank) in ranks.iter().enumerate() {
            rows.push(*rank, || vec![Cell::from(at)]);
        }
        let seen = rows.seen();
        let text = |row: &Vec<Cell>| String::from_utf8(row[0].to_text().unwrap()).unwrap();
        (seen, rows.into_sorted().iter().map(text).collect())
    }

    #[test]
    fn the_highest_ranks_are_kept_in_their_order_and_equals_as_they_came() {
        for (most, ranks, kept) in [
            (9, &[0, 0, 0][..], &["0", "1", "2"][..]),
            (2, &[0, 0, 0], &["0", "1"]),
            (2, &[1, 5, 3, 5], &["1", "3"]),
            (3, &[1, 5, 3, 5], &["1", "3", "2"]),
            (0, &[1, 2], &[]),
        ] {
            let (seen, rows) = gathered(most, ranks);
            assert_eq!(
                (seen, &rows[..]),
                (
                    ranks.len() as u64,
                    &kept.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
                )
            );
        }
    }

    #[test]
    fn a_row_that_is_not_kept_is_not_made() {
        let mut rows = Rows::new(1);
        rows.push(2, || vec![Cell::Null]);
        rows.push(1, || panic!("made"));
        assert_eq!(rows.seen(), 2);
    }

    #[test]
    fn values_are_written_as_postgresql_writes_them() {
        for (cell, text) in [
            (Cell::Null, None),
            (Cell::from("a\0b"), Some("ab")),
            (Cell::from(7_u32), Some("7")),
            (Cell::from(u64::MAX), Some("9223372036854775807")),
            (Cell::from(true), Some("t")),
            (Cell::from(Duration::from_micros(1_234_567)), Some("1.235")),
            (Cell::from(30.0), Some("30")),
            (Cell::from(None::<u32>), None),
        ] {
            assert_eq!(cell.to_text().as_deref(), text.map(str::as_bytes));
        }
    }
}

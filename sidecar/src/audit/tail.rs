//! The end of a file of records: where its chain can go on. Pure.

use aws_lc_rs::digest;
use serde::Deserialize;

use super::chain::{Link, hex, split};
use super::record::Torn;

/// What the end of a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// Its last whole record.
    pub(super) last: Option<Last>,
    /// What stands behind that.
    pub(super) torn: Option<Torn>,
    /// Whether the file ends within a line.
    pub(super) within_line: bool,
}

/// A record to go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) chain: String,
    pub(super) sequence: u64,
    pub(super) head: Link,
}

#[derive(Deserialize)]
struct Fields {
    chain: String,
    sequence: u64,
}

impl Last {
    fn of(line: &[u8]) -> Option<Self> {
        let (_, head) = split(line)?;
        let fields: Fields = serde_json::from_slice(line).ok()?;
        Some(Self {
            chain: fields.chain,
            sequence: fields.sequence,
            head,
        })
    }

    /// As `audit verify --after` takes it.
    pub(super) fn anchor(&self) -> String {
        format!("{}:{}", self.sequence, self.head)
    }
}

impl Tail {
    /// Reads the last bytes of a file: back to the last line that is a whole record. `is_whole`: they are all of it, and begin a line.
    pub(super) fn of(bytes: &[u8], is_whole: bool) -> Self {
        let within_line = bytes.last().is_some_and(|byte| *byte != b'\n');
        let mut end = bytes.len();
        // A line is whole where a line end stands behind it, and before it (or nothing at all).
        while let Some(line_end) = bytes[..end].iter().rposition(|byte| *byte == b'\n') {
            let before = bytes[..line_end].iter().rposition(|byte| *byte == b'\n');
            let begin = match before {
                Some(at) => at + 1,
                None if is_whole => 0,
                None => break,
            };
            if let Some(last) = Last::of(&bytes[begin..line_end]) {
                return Self {
                    last: Some(last),
                    torn: behind(&bytes[line_end + 1..]),
                    within_line,
                };
            }
            end = line_end;
        }
        Self {
            last: None,
            torn: behind(bytes),
            within_line,
        }
    }
}

/// What is told of bytes behind the last record. One line end at their end does not count: a continuation puts it there where it is not.
fn behind(bytes: &[u8]) -> Option<Torn> {
    (!bytes.is_empty()).then(|| torn(bytes.strip_suffix(b"\n").unwrap_or(bytes)))
}

/// What is told of bytes that are no record.
pub(super) fn torn(bytes: &[u8]) -> Torn {
    Torn {
        bytes: bytes.len() as u64,
        sha256: hex(digest::digest(&digest::SHA256, bytes).as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::{Chain, Seal};
    use super::*;

    fn lines(count: u64) -> Vec<u8> {
        let mut chain = Chain::new("c".to_owned(), Seal::Hash);
        let mut lines = Vec::new();
        for sequence in 1..=count {
            let from = lines.len();
            lines.extend(format!("{{\"chain\":\"c\",\"sequence\":{sequence}}}").into_bytes());
            chain.close(&mut lines, from);
        }
        lines
    }

    #[test]
    fn a_chain_goes_on_behind_its_last_whole_record() {
        let lines = lines(3);
        let whole = Tail::of(&lines, true);
        let last = whole.last.clone().unwrap();
        assert_eq!(
            (last.sequence, whole.torn, whole.within_line),
            (3, None, false)
        );
        let before = lines[..lines.len() - 1]
            .iter()
            .rposition(|b| *b == b'\n')
            .unwrap()
            + 1;
        for cut in before + 1..lines.len() {
            let tail = Tail::of(&lines[..cut], true);
            assert_eq!(tail.last.unwrap().sequence, 2, "{cut}");
            assert_eq!(tail.torn.unwrap().bytes, (cut - before) as u64);
            assert!(tail.within_line);
        }
    }

    #[test]
    fn what_is_no_record_is_gone_back_over() {
        let mut lines = lines(2);
        lines.extend(b"half of a rec\nand of another");
        let tail = Tail::of(&lines, true);
        assert_eq!(tail.last.unwrap().sequence, 2);
        assert_eq!(tail.torn, Some(torn(b"half of a rec\nand of another")));
        // A file that is not seen whole may begin within a line.
        let cut = Tail::of(&lines[1..], false);
        assert_eq!(cut.last.unwrap().sequence, 2);
        let none = Tail::of(b"no record\nat all", true);
        assert_eq!((none.last, none.torn.unwrap().bytes), (None, 16));
        assert_eq!(Tail::of(b"", true), Tail::default());
    }
}

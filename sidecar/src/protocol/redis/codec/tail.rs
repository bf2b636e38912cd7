//! The rest of a command of which the front was passed on: argument by argument, bodies unseen.

use super::RequestError;
use super::request::{Limits, bulk_header};

/// Walks from the first byte of a long argument to the end of its command.
#[derive(Clone, Debug)]
pub struct Tail {
    limits: Limits,
    /// The argument under way, or the next one.
    index: usize,
    total: usize,
    /// Bytes of the argument under way that have not come, its CR LF included; 0 between two arguments.
    left: u64,
}

/// What stands at the front of the bytes that were looked at. What is reported counts as passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailStep {
    /// Not enough to say.
    More,
    /// The header of the next argument.
    Header {
        /// The header's bytes.
        len: usize,
        /// Which argument, where 0 is the command's name.
        index: usize,
        /// The argument's bytes.
        length: u64,
    },
    /// Bytes of an argument, or of the CR LF behind it.
    Body {
        /// How many.
        len: usize,
        /// Whether the command ends with them.
        ends: bool,
    },
}

impl Tail {
    pub(super) const fn new(limits: Limits, index: usize, total: usize, length: u64) -> Self {
        Self {
            limits,
            index,
            total,
            left: length + 2,
        }
    }

    /// Looks at what has come and has not been passed.
    ///
    /// # Errors
    /// What breaks the protocol or a limit. Some of the command has been passed on, and its end will never come: both connections end.
    pub fn step(&mut self, unread: &[u8]) -> Result<TailStep, RequestError> {
        if self.left == 0 {
            return self.header(unread);
        }
        if unread.is_empty() {
            return Ok(TailStep::More);
        }
        let there = unread.len() as u64;
        let len = self.left.min(there) as usize;
        // What stands where the CR LF should be.
        let body = usize::try_from(self.left.saturating_sub(2)).unwrap_or(usize::MAX);
        let skipped = usize::from(self.left == 1);
        let ending = unread.get(body..len).unwrap_or_default();
        if !b"\r\n"[skipped..].starts_with(ending) {
            return Err(RequestError::Unterminated);
        }
        self.left -= len as u64;
        if self.left == 0 {
            self.index += 1;
        }
        Ok(TailStep::Body {
            len,
            ends: self.left == 0 && self.index == self.total,
        })
    }

    fn header(&mut self, unread: &[u8]) -> Result<TailStep, RequestError> {
        let Some((length, len)) = bulk_header(unread, 0, &self.limits)? else {
            return Ok(TailStep::More);
        };
        self.left = length + 2;
        Ok(TailStep::Header {
            len,
            index: self.index,
            length,
        })
    }
}

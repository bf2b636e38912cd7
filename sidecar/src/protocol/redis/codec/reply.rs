//! What a server sends: where each reply ends, without a look at what it says.

use super::ReplyError;
use super::number::{Number, read_number};

/// How deep aggregates may stand in one another. The last element of an aggregate does not count as deeper.
const MOST_DEPTH: usize = 128;
/// The longest code word of an error that anybody asks for.
const MOST_CODE: usize = 64;
/// More elements than any server has.
const MOST_ELEMENTS: u64 = 1 << 40;

/// What a reply begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// An answer that is no error: the next of those that are awaited.
    Answer,
    /// An error (`-` or `!`), which is an answer too; [`error_code`] says which.
    Error,
    /// Something that nobody asked for (`>`, RESP3 alone). It answers nothing.
    Push,
    /// What is told about the reply behind it (`|`, RESP3 alone). It answers nothing, and belongs to what follows.
    Attribute,
}

/// What stands at the front of the bytes that were looked at. What is reported counts as passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyStep {
    /// Not enough to say.
    More,
    /// Bytes of one reply.
    Data {
        /// How many; they may pass as they are.
        len: usize,
        /// What the reply is, where it begins with these bytes. The code word of an error is whole then.
        begins: Option<ReplyKind>,
        /// Whether the reply ends with them.
        ends: bool,
    },
}

/// Walks what one server sends.
#[derive(Clone, Debug, Default)]
pub struct ReplyWalker {
    /// Elements that are to come, of each aggregate under way.
    open: Vec<u64>,
    /// Bytes of the value under way that have not come, its CR LF included.
    body: u64,
    /// Whether a line is under way.
    line: bool,
    /// Whether a reply is under way.
    inside: bool,
}

impl ReplyWalker {
    /// A walker at the beginning of a reply.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            open: Vec::new(),
            body: 0,
            line: false,
            inside: false,
        }
    }

    /// Whether all that was passed ends with a reply: something may be put in here.
    #[must_use]
    pub const fn between_replies(&self) -> bool {
        !self.inside
    }

    /// Looks at what has come and has not been passed, up to the end of one reply.
    ///
    /// # Errors
    /// Bytes that are no reply; the walker is of no more use.
    #[inline]
    pub fn step(&mut self, unread: &[u8]) -> Result<ReplyStep, ReplyError> {
        if !self.inside
            && let Some(len) = whole_answer(unread)
        {
            return Ok(ReplyStep::Data {
                len,
                begins: Some(ReplyKind::Answer),
                ends: true,
            });
        }
        self.step_inside(unread)
    }

    fn step_inside(&mut self, unread: &[u8]) -> Result<ReplyStep, ReplyError> {
        let begins = if self.inside {
            None
        } else {
            match begins(unread)? {
                None => return Ok(ReplyStep::More),
                kind => kind,
            }
        };
        let mut at = 0;
        while let Some(len) = self.value(unread.get(at..).unwrap_or_default())? {
            at += len;
            self.inside = true;
            if self.body > 0 || self.line {
                break;
            }
            while self.open.last() == Some(&0) {
                self.open.pop();
            }
            if self.open.is_empty() {
                self.inside = false;
                return Ok(ReplyStep::Data {
                    len: at,
                    begins,
                    ends: true,
                });
            }
        }
        if at == 0 {
            return Ok(ReplyStep::More);
        }
        Ok(ReplyStep::Data {
            len: at,
            begins,
            ends: false,
        })
    }

    /// Passes what there is of one value, or the header of one aggregate; none where its header is not whole.
    #[inline]
    fn value(&mut self, unread: &[u8]) -> Result<Option<usize>, ReplyError> {
        if self.body > 0 {
            return Ok(self.pass_body(unread, 0));
        }
        let Some((marker, rest)) = unread.split_first() else {
            return Ok(None);
        };
        if self.line {
            return Ok(Some(self.pass_line(unread, 0)));
        }
        match marker {
            b'+' | b'-' | b':' | b'(' | b',' | b'#' | b'_' => {
                self.count();
                Ok(Some(self.pass_line(unread, 1)))
            }
            b'$' | b'=' | b'!' => {
                let Some((length, len)) = length(rest)? else {
                    return Ok(None);
                };
                self.count();
                match length {
                    None => Ok(Some(len)),
                    Some(length) => {
                        self.body = length + 2;
                        Ok(self.pass_body(unread, len))
                    }
                }
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => self.aggregate(*marker, rest),
            marker => Err(ReplyError::Marker(*marker)),
        }
    }

    fn aggregate(&mut self, marker: u8, rest: &[u8]) -> Result<Option<usize>, ReplyError> {
        let Some((count, len)) = length(rest)? else {
            return Ok(None);
        };
        let count = count.unwrap_or(0);
        if count > MOST_ELEMENTS {
            return Err(ReplyError::Length);
        }
        let each = if matches!(marker, b'%' | b'|') { 2 } else { 1 };
        // An attribute is told about an element, and is none.
        if marker != b'|' {
            self.count();
        }
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        if self.open.len() >= MOST_DEPTH {
            return Err(ReplyError::Depth(MOST_DEPTH));
        }
        self.open.push(count * each);
        Ok(Some(len))
    }

    /// One element less is to come.
    #[inline]
    fn count(&mut self) {
        if let Some(left) = self.open.last_mut() {
            *left = left.saturating_sub(1);
        }
    }

    /// Passes what there is of a body that begins at `at`.
    #[inline]
    fn pass_body(&mut self, unread: &[u8], at: usize) -> Option<usize> {
        let there = unread.len() - at;
        let len = usize::try_from(self.body).map_or(there, |body| body.min(there));
        self.body -= len as u64;
        (at + len > 0).then_some(at + len)
    }

    /// Passes what there is of a line from `at` on.
    #[inline]
    fn pass_line(&mut self, unread: &[u8], at: usize) -> usize {
        let end = memchr::memchr(b'\n', unread.get(at..).unwrap_or_default());
        self.line = end.is_none();
        end.map_or(unread.len(), |end| at + end + 1)
    }
}

/// The bytes of a short answer that has come whole; none where a closer look is needed.
#[inline]
fn whole_answer(unread: &[u8]) -> Option<usize> {
    const SHORT: usize = 32;
    match unread.split_first()? {
        (b'+' | b':', rest) => {
            let end = rest.iter().take(SHORT).position(|byte| *byte == b'\n')?;
            Some(end + 2)
        }
        (b'$', rest) => {
            let Number::Is(length @ 0.., header) = read_number(rest) else {
                return None;
            };
            let len = usize::try_from(length).ok()?.checked_add(header + 3)?;
            (unread.len() >= len).then_some(len)
        }
        _ => None,
    }
}

/// The length in a header behind its marker (none for a null), and the bytes of the header, marker included.
#[inline]
pub(in super::super) fn length(rest: &[u8]) -> Result<Option<(Option<u64>, usize)>, ReplyError> {
    match read_number(rest) {
        Number::More => Ok(None),
        Number::Is(-1, len) => Ok(Some((None, len + 1))),
        Number::Is(length, len) => match u64::try_from(length) {
            Ok(length) if length <= i64::MAX as u64 / 4 => Ok(Some((Some(length), len + 1))),
            _ => Err(ReplyError::Length),
        },
        Number::Malformed => Err(ReplyError::Length),
    }
}

/// What the reply at the front of `unread` is; none where that cannot be said.
#[inline]
fn begins(unread: &[u8]) -> Result<Option<ReplyKind>, ReplyError> {
    Ok(match unread.first() {
        None => None,
        Some(b'-' | b'!') => error_code(unread)?.map(|_| ReplyKind::Error),
        Some(b'>') => Some(ReplyKind::Push),
        Some(b'|') => Some(ReplyKind::Attribute),
        Some(_) => Some(ReplyKind::Answer),
    })
}

/// The code word of the error that `bytes` begin with (`MOVED`, `NOAUTH`, `ERR`), cut at 64 bytes; none where it has not come whole.
///
/// # Errors
/// A blob error with a malformed length.
pub fn error_code(bytes: &[u8]) -> Result<Option<&[u8]>, ReplyError> {
    let (text, whole) = match bytes.split_first() {
        Some((b'-', rest)) => (rest, false),
        Some((b'!', rest)) => match length(rest)? {
            None => return Ok(None),
            Some((length, header)) => {
                let there = bytes.get(header..).unwrap_or_default();
                let length = usize::try_from(length.unwrap_or(0)).unwrap_or(usize::MAX);
                match there.get(..length) {
                    Some(text) => (text, true),
                    None => (there, false),
                }
            }
        },
        _ => return Ok(None),
    };
    let end = text
        .iter()
        .take(MOST_CODE)
        .position(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let end = match end {
        Some(end) => end,
        None if whole || text.len() >= MOST_CODE => text.len().min(MOST_CODE),
        None => return Ok(None),
    };
    Ok(text.get(..end))
}

#[cfg(test)]
mod tests;

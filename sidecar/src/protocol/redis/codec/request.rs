//! What a client sends: one command after the other, each looked at where it is.
//!
//! A walker keeps its place in a command that has come in part, so that no byte of it is looked at twice. It never copies an argument
//! (but those of inline commands, which are unquoted), and keeps its memory from command to command.

use super::inline;
use super::number::{Number, read_number};
use super::tail::Tail;
use super::{Arguments, RequestError, Span};

/// The most arguments for which room is kept from command to command.
const KEPT_SPANS: usize = 1024;

/// The longest inline command, in bytes (`PROTO_INLINE_MAX_SIZE`).
const MOST_INLINE: usize = 64 * 1024;

/// How much a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most arguments of one command, its name included.
    pub arguments: usize,
    /// The most bytes of one argument.
    pub bulk: u64,
    /// From how many bytes on an argument is reported as [`Long`](RequestStep::Long) where it has not come whole.
    pub long: usize,
    /// Whether the client has not yet said who they are: the server has errors of their own for those.
    pub unidentified: bool,
}

impl Limits {
    /// Those of a server: 1,048,576 arguments (7.0 itself takes more), and `proto-max-bulk-len` of 512 MiB; 16 KiB are long.
    pub const SERVER: Self = Self {
        arguments: 1024 * 1024,
        bulk: 512 * 1024 * 1024,
        long: 16 * 1024,
        unidentified: false,
    };
    /// Those of a server before AUTH: 10 arguments of 16 KiB.
    pub const UNIDENTIFIED: Self = Self {
        arguments: 10,
        bulk: 16 * 1024,
        long: 16 * 1024,
        unidentified: true,
    };
}

/// What stands at the front of the bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestStep {
    /// Not enough to say.
    More,
    /// Nothing that the server would answer: an empty line, an empty array. So many bytes are to be passed over.
    Nothing {
        /// How many.
        len: usize,
    },
    /// A whole command; [`RequestWalker::arguments`] has all of it.
    Whole {
        /// Its bytes.
        len: usize,
    },
    /// A long argument begins, and has not come whole. The arguments before it are there; whoever knows enough by them goes on with
    /// [`RequestWalker::into_tail`], whoever does not asks again when more has come.
    Long(Head),
}

/// The front of a command whose argument at `index` is long and has not come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The bytes before the first byte of that argument, its header included.
    pub len: usize,
    /// Where its header begins.
    pub header: usize,
    /// Which argument, where 0 is the command's name.
    pub index: usize,
    /// Its bytes.
    pub length: u64,
}

/// Walks what one client sends.
#[derive(Clone, Debug)]
pub struct RequestWalker {
    limits: Limits,
    spans: Vec<Span>,
    /// The arguments of an inline command.
    unquoted: Vec<u8>,
    form: Form,
    /// Bytes of the command that need not be looked at again.
    walked: usize,
    /// Arguments that the command has.
    total: usize,
    /// Where the header of the first argument begins.
    first: usize,
    /// The argument whose header was read.
    bulk: Option<Head>,
}

/// What the command under way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Unknown,
    Array,
    Inline,
}

impl RequestWalker {
    /// A walker at the beginning of a command.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            spans: Vec::new(),
            unquoted: Vec::new(),
            form: Form::Unknown,
            walked: 0,
            total: 0,
            first: 0,
            bulk: None,
        }
    }

    /// Other limits, from the next header on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Looks at `bytes`, which begin where the command under way begins: at all that were there before, and what has come since.
    ///
    /// After [`Whole`](RequestStep::Whole) and [`Nothing`](RequestStep::Nothing) those bytes are done with: see [`next`](Self::next).
    ///
    /// # Errors
    /// What breaks the protocol or a limit; the walker is of no more use.
    #[inline]
    pub fn walk(&mut self, bytes: &[u8]) -> Result<RequestStep, RequestError> {
        loop {
            match self.form {
                Form::Array => return self.walk_arguments(bytes),
                Form::Inline => return self.walk_line(bytes),
                Form::Unknown => match bytes.first() {
                    None => return Ok(RequestStep::More),
                    Some(b'*') => match self.begin_array(bytes)? {
                        Some(step) => return Ok(step),
                        None => continue,
                    },
                    Some(_) => self.form = Form::Inline,
                },
            }
        }
    }

    /// The arguments that have come whole, in the same `bytes`.
    #[inline]
    #[must_use]
    pub fn arguments<'a>(&'a self, bytes: &'a [u8]) -> Arguments<'a> {
        match self.form {
            Form::Inline => Arguments::new(&self.unquoted, &self.spans, self.total, None),
            _ => Arguments::new(bytes, &self.spans, self.total, Some(self.first)),
        }
    }

    /// Turns to the next command: the bytes of the last one are gone, and the next call of [`walk`](Self::walk) begins behind them.
    #[inline]
    pub fn next(&mut self) {
        // What a command of a million arguments took is not kept.
        if self.spans.capacity() > KEPT_SPANS {
            self.spans = Vec::new();
        }
        self.spans.clear();
        self.form = Form::Unknown;
        self.walked = 0;
        self.total = 0;
        self.bulk = None;
    }

    /// The argument that has begun and not come whole, however long it is: what [`into_tail`](Self::into_tail) goes on with.
    #[inline]
    #[must_use]
    pub const fn begun(&self) -> Option<Head> {
        self.bulk
    }

    /// Passes the rest of a command on unseen, from the first byte of the argument on that [`Long`](RequestStep::Long) told of, or [`begun`](Self::begun);
    /// this walker turns to the command behind it. None where it told of none.
    pub fn into_tail(&mut self) -> Option<Tail> {
        let head = self.bulk?;
        let tail = Tail::new(self.limits, head.index, self.total, head.length);
        self.next();
        Some(tail)
    }

    /// Reads the number of arguments. A step where there is nothing to go on with.
    #[inline]
    fn begin_array(&mut self, bytes: &[u8]) -> Result<Option<RequestStep>, RequestError> {
        let (count, len) = match read_number(bytes.get(1..).unwrap_or_default()) {
            Number::More => return Ok(Some(RequestStep::More)),
            Number::Malformed => return Err(RequestError::ArrayLength),
            Number::Is(count, len) => (count, len + 1),
        };
        // The server takes `*0` and `*-1` for nothing, and says nothing.
        let Ok(total @ 1..) = usize::try_from(count) else {
            return Ok(Some(RequestStep::Nothing { len }));
        };
        if total > self.limits.arguments {
            return Err(if self.limits.unidentified {
                RequestError::UnidentifiedArrayLength
            } else {
                RequestError::ArrayLength
            });
        }
        self.form = Form::Array;
        self.total = total;
        self.first = len;
        self.walked = len;
        Ok(None)
    }

    #[inline]
    fn walk_arguments(&mut self, bytes: &[u8]) -> Result<RequestStep, RequestError> {
        let mut walked = self.walked;
        while self.spans.len() < self.total {
            let head = match self.bulk.take() {
                Some(head) => head,
                None => match bulk_header(bytes, walked, &self.limits)? {
                    None => {
                        self.walked = walked;
                        return Ok(RequestStep::More);
                    }
                    Some((length, len)) => Head {
                        len: walked + len,
                        header: walked,
                        index: self.spans.len(),
                        length,
                    },
                },
            };
            // The limit is far below what an address has room for.
            let length = head.length as usize;
            let end = head.len + length;
            match bytes.get(end..end + 2) {
                Some(b"\r\n") => {}
                Some(_) => return Err(RequestError::Unterminated),
                None => {
                    self.walked = walked;
                    self.bulk = Some(head);
                    return Ok(if length >= self.limits.long {
                        RequestStep::Long(head)
                    } else {
                        RequestStep::More
                    });
                }
            }
            self.spans.push(Span {
                start: head.len,
                len: length,
            });
            walked = end + 2;
        }
        self.walked = walked;
        Ok(RequestStep::Whole { len: walked })
    }

    fn walk_line(&mut self, bytes: &[u8]) -> Result<RequestStep, RequestError> {
        let unseen = bytes.get(self.walked..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', unseen).map(|at| self.walked + at) else {
            self.walked = bytes.len();
            return if bytes.len() > MOST_INLINE {
                Err(RequestError::InlineLength)
            } else {
                Ok(RequestStep::More)
            };
        };
        if end > MOST_INLINE {
            return Err(RequestError::InlineLength);
        }
        let line = bytes.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.contains(&0) {
            return Err(RequestError::Nul);
        }
        self.unquoted.clear();
        self.spans.clear();
        inline::split(line, &mut self.unquoted, &mut self.spans)?;
        self.total = self.spans.len();
        let len = end + 1;
        let Some(name) = self.arguments(bytes).get(0) else {
            return Ok(RequestStep::Nothing { len });
        };
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            return Err(RequestError::Http);
        }
        Ok(RequestStep::Whole { len })
    }
}

/// The header of an argument that begins at `at`: the argument's length, and the header's own.
#[inline]
pub(super) fn bulk_header(
    bytes: &[u8],
    at: usize,
    limits: &Limits,
) -> Result<Option<(u64, usize)>, RequestError> {
    let Some((marker, rest)) = bytes.get(at..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if *marker != b'$' {
        return Err(RequestError::Marker(*marker));
    }
    let (length, len) = match read_number(rest) {
        Number::More => return Ok(None),
        Number::Malformed => return Err(RequestError::BulkLength),
        Number::Is(length, len) => (length, len),
    };
    match u64::try_from(length) {
        Ok(length) if length <= limits.bulk => Ok(Some((length, len + 1))),
        Ok(_) if limits.unidentified => Err(RequestError::UnidentifiedBulkLength),
        _ => Err(RequestError::BulkLength),
    }
}

#[cfg(test)]
mod tests;

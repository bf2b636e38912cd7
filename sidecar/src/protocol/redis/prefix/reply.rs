//! Replies without the prefix: what a server says of keys and channels, as the client knows them.
//!
//! Values pass as they come. What is held back is a key up to the end of its prefix, the text of an error, and the names in a message up to
//! where it is known whose it is.

mod messages;
mod part;

use super::super::codec::{Number, read_number};
use super::super::codec::{ReplyError, ReplyKind, ReplyStep, ReplyWalker, push_bulk_header};
use super::super::commands::Shape;
use super::KeyPrefix;
use super::channel::{ChannelKind, place_in_channel};
use part::{Frame, Part};

/// The longest text of an error that is looked through; a longer one passes as it is.
const MOST_ERROR: usize = 16 * 1024;
/// From the front of a channel that many bytes tell what it is.
const CHANNEL_HEAD: usize = 64;

/// Takes the prefix out of one reply, or out of one message to a subscriber.
#[derive(Clone, Debug)]
pub struct Unprefixer {
    root: Part,
    /// What each element of an EXEC's reply is the reply of.
    queued: Vec<Shape>,
    frames: Vec<Frame>,
    /// Passes values in which nothing is to be changed.
    walker: ReplyWalker,
    /// Bytes that are to come of a key whose prefix was taken off, its CR LF included.
    rest: u64,
    /// Whether the message under way is not for this client.
    dropping: bool,
    /// What the reply is, once something of it has come.
    kind: Option<ReplyKind>,
}

/// What became of the front of the bytes that were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unprefixed {
    /// How many of them are done with; their part of the client's reply was appended. 0 where there are not enough to say.
    pub consumed: usize,
    /// Whether the reply ends with them. The next one takes another [`Unprefixer`].
    pub ends: bool,
    /// What the reply is, once something of it has come.
    pub kind: Option<ReplyKind>,
}

impl Unprefixer {
    /// For a reply of this shape.
    #[must_use]
    pub const fn new(shape: Shape) -> Self {
        Self {
            root: Part::of(shape),
            queued: Vec::new(),
            frames: Vec::new(),
            walker: ReplyWalker::new(),
            rest: 0,
            dropping: false,
            kind: None,
        }
    }

    /// For the reply to EXEC, where the queued commands' replies have these shapes.
    #[must_use]
    pub fn exec(queued: Vec<Shape>) -> Self {
        Self {
            root: Part::Exec,
            queued,
            ..Self::new(Shape::Plain)
        }
    }

    /// Goes on with what has come and is not done with, at most up to the end of the reply, and appends what the client gets of it.
    ///
    /// # Errors
    /// A reply that is none, or holds a key of somebody else's: nothing more of it may go to the client.
    pub fn step(
        &mut self,
        prefix: &KeyPrefix,
        unread: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Unprefixed, ReplyError> {
        let mut at = 0;
        loop {
            let left = unread.get(at..).unwrap_or_default();
            self.kind = self.kind.or_else(|| kind_of(left));
            let (len, whole) = self.value(prefix, left, out)?;
            at += len;
            let kind = self.kind;
            if !whole && (len == 0 || at == unread.len()) {
                return Ok(Unprefixed {
                    consumed: at,
                    ends: false,
                    kind,
                });
            }
            if whole && self.is_over() {
                return Ok(Unprefixed {
                    consumed: at,
                    ends: true,
                    kind,
                });
            }
        }
    }

    /// Whether the reply is over, now that a value of it is.
    fn is_over(&mut self) -> bool {
        while self.frames.last().is_some_and(Frame::is_over) {
            self.frames.pop();
        }
        if !self.frames.is_empty() {
            return false;
        }
        // What is told about a reply comes before it.
        if self.kind == Some(ReplyKind::Attribute) {
            self.kind = None;
            return false;
        }
        true
    }

    /// Goes on with one value: how many bytes, and whether it ends with them. The elements of an aggregate are values of their own, and its
    /// header ends as one does.
    fn value(
        &mut self,
        prefix: &KeyPrefix,
        left: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), ReplyError> {
        if self.rest > 0 {
            let len = usize::try_from(self.rest).map_or(left.len(), |rest| rest.min(left.len()));
            out.extend_from_slice(left.get(..len).unwrap_or_default());
            self.rest -= len as u64;
            return Ok((len, self.rest == 0));
        }
        let Some(marker) = left.first().copied() else {
            return Ok((0, false));
        };
        if !self.walker.between_replies() || self.dropping {
            return self.pass(left, out);
        }
        match (self.part(), marker) {
            (Part::Plain, _) | (_, b'|') => self.pass(left, out),
            (_, b'-') => self.error(prefix, left, out),
            (Part::Messages, b'*' | b'>') => self.message(prefix, left, out),
            (part, b'*' | b'~' | b'>' | b'%') => self.aggregate(part, marker, left, out),
            (Part::Key, b'$') => self.key(prefix, left, out, false),
            (Part::Channel, b'$') => self.key(prefix, left, out, true),
            // A null, a number, a status: whatever it is, it is no key.
            _ => self.pass(left, out),
        }
    }

    fn part(&self) -> Part {
        match self.frames.last() {
            Some(frame) => frame.element(&self.queued),
            None => self.root,
        }
    }

    fn advance(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.advance();
        }
    }

    /// Passes a value as it is, or drops it.
    fn pass(&mut self, left: &[u8], out: &mut Vec<u8>) -> Result<(usize, bool), ReplyError> {
        match self.walker.step(left)? {
            ReplyStep::More => Ok((0, false)),
            ReplyStep::Data { len, begins, ends } => {
                if begins.is_some_and(|kind| kind != ReplyKind::Attribute) {
                    self.advance();
                }
                if !self.dropping {
                    out.extend_from_slice(left.get(..len).unwrap_or_default());
                }
                Ok((len, ends))
            }
        }
    }

    fn aggregate(
        &mut self,
        part: Part,
        marker: u8,
        left: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), ReplyError> {
        let (count, len) = match header(left)? {
            None => return Ok((0, false)),
            Some((None, _)) => return self.pass(left, out),
            Some((Some(count), len)) => (count, len),
        };
        self.advance();
        out.extend_from_slice(left.get(..len).unwrap_or_default());
        self.frames.push(Frame::new(part, marker == b'%', count));
        Ok((len, true))
    }

    /// Takes the prefix off a key or a channel.
    fn key(
        &mut self,
        prefix: &KeyPrefix,
        left: &[u8],
        out: &mut Vec<u8>,
        channel: bool,
    ) -> Result<(usize, bool), ReplyError> {
        let (length, header) = match header(left)? {
            None => return Ok((0, false)),
            Some((None, _)) => return self.pass(left, out),
            Some((Some(length), len)) => (length, len),
        };
        let prefix = prefix.as_bytes();
        let looked = prefix.len() + if channel { CHANNEL_HEAD } else { 0 };
        let looked = usize::try_from(length).map_or(looked, |length| length.min(looked));
        let Some(head) = left.get(header..header + looked) else {
            return Ok((0, false));
        };
        let place = if channel {
            place_in_channel(head)
        } else {
            ChannelKind::Own(0)
        };
        let ChannelKind::Own(place) = place else {
            return self.pass(left, out);
        };
        if !head
            .get(place..)
            .is_some_and(|rest| rest.starts_with(prefix))
        {
            return Err(foreign());
        }
        self.advance();
        let shorter = length - prefix.len() as u64;
        push_bulk_header(out, shorter);
        out.extend_from_slice(head.get(..place).unwrap_or_default());
        self.rest = shorter - place as u64 + 2;
        Ok((header + place + prefix.len(), false))
    }

    /// Takes the prefix out of the text of an error, where it quotes a key: `No such key 'KEY'`.
    fn error(
        &mut self,
        prefix: &KeyPrefix,
        left: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), ReplyError> {
        let Some(end) = memchr::memchr(b'\n', left) else {
            return if left.len() > MOST_ERROR {
                self.pass(left, out)
            } else {
                Ok((0, false))
            };
        };
        self.advance();
        let mut line = left.get(..=end).unwrap_or_default();
        let quoted = [b"'", prefix.as_bytes()].concat();
        while let Some(found) = memchr::memmem::find(line, &quoted) {
            out.extend_from_slice(line.get(..=found).unwrap_or_default());
            line = line.get(found + quoted.len()..).unwrap_or_default();
        }
        out.extend_from_slice(line);
        Ok((end + 1, true))
    }
}

/// The length in the header at the front of some bytes (none for a null), and the header's own.
fn header(left: &[u8]) -> Result<Option<(Option<u64>, usize)>, ReplyError> {
    match read_number(left.get(1..).unwrap_or_default()) {
        Number::More => Ok(None),
        Number::Malformed => Err(ReplyError::Length),
        Number::Is(-1, len) => Ok(Some((None, len + 1))),
        Number::Is(length, len) => match u64::try_from(length) {
            Ok(length) if length <= i64::MAX as u64 / 4 => Ok(Some((Some(length), len + 1))),
            _ => Err(ReplyError::Length),
        },
    }
}

fn kind_of(left: &[u8]) -> Option<ReplyKind> {
    Some(match left.first()? {
        b'-' | b'!' => ReplyKind::Error,
        b'>' => ReplyKind::Push,
        b'|' => ReplyKind::Attribute,
        _ => ReplyKind::Answer,
    })
}

const fn foreign() -> ReplyError {
    ReplyError::Form {
        command: "a command under keyPrefix",
        problem: "a key in it does not begin with the user's prefix",
    }
}

#[cfg(test)]
mod tests;

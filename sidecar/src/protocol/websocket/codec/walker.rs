//! All that one side sends, frame by frame: headers are read, payloads are passed over.

use super::Violation;
use super::frame::{Header, MOST_CONTROL, Opcode, parse_header};
use super::mask::{apply_mask, turn};

/// RSV1: the message is compressed (RFC 7692, section 6).
const COMPRESSED: u8 = 0b100;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A client, whose frames are masked.
    Client,
    /// A server, whose frames are not.
    Server,
}

/// Walks what one side sends.
#[derive(Clone, Debug)]
pub struct Walker {
    sender: Sender,
    /// Whether permessage-deflate was negotiated.
    deflates: bool,
    /// The most bytes of one message, as they are on the wire.
    message_limit: u64,
    /// Bytes of the frame under way that have not come.
    left: u64,
    /// Its mask, turned to the first of them.
    mask: Option<[u8; 4]>,
    /// Whether that frame is the last of its message.
    last: bool,
    /// Whether a message is under way.
    in_message: bool,
    /// Bytes of that message so far, the whole of the frame under way included.
    message: u64,
}

/// What stands at the front of the bytes that were looked at.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Not enough to say: there is nothing, or a header or a control frame is not whole.
    More,
    /// Bytes of a message.
    Data {
        /// How many, header included: they may pass as they are.
        len: usize,
        /// The header that they begin with, where a frame begins.
        header: Option<Header>,
        /// The payload among them, for those who must read it.
        payload: Payload,
        /// Whether the message ends with them.
        ends: bool,
    },
    /// A control frame, whole.
    Control(Control),
}

/// Where the payload in some bytes of a message is: all that stands behind the header, which may be nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Bytes before it: the header, or nothing.
    pub start: usize,
    /// Where it stands in its message, all fragments together.
    pub offset: u64,
    /// By what it is masked, turned to its first byte.
    pub mask: Option<[u8; 4]>,
}

/// A control frame.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// Close, Ping or Pong.
    pub opcode: Opcode,
    /// Bytes of the frame, header included.
    pub len: usize,
    payload: [u8; MOST_CONTROL],
    size: usize,
}

impl Control {
    /// What it carries, unmasked.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.payload.get(..self.size).unwrap_or_default()
    }
}

impl Walker {
    /// Walks what `sender` sends. `message_limit` is of the bytes of one message as they are on the wire, compressed or not.
    #[must_use]
    pub fn new(sender: Sender, message_limit: Option<u64>, deflates: bool) -> Self {
        Self {
            sender,
            deflates,
            message_limit: message_limit.unwrap_or(u64::MAX),
            left: 0,
            mask: None,
            last: true,
            in_message: false,
            message: 0,
        }
    }

    /// Looks at the front of what has come and has not been looked at. What it reports counts as passed.
    ///
    /// # Errors
    /// What breaks the protocol or the limit; the frame has not been passed then, and the walker is of no more use.
    #[inline]
    pub fn step(&mut self, unread: &[u8]) -> Result<Step, Violation> {
        if self.left > 0 {
            if unread.is_empty() {
                return Ok(Step::More);
            }
            return Ok(self.pass(None, unread.len()));
        }
        let Some(header) = parse_header(unread)? else {
            return Ok(Step::More);
        };
        self.check(&header)?;
        if header.opcode.is_control() {
            return Ok(control(&header, unread));
        }
        self.begin(&header)?;
        Ok(self.pass(Some(header), unread.len() - header.size))
    }

    /// Whether all that has been passed ends with a frame: another one may be put in here.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        self.left == 0
    }

    /// Bytes of the frame under way that have not come.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Whether all that has been passed ends with a message.
    #[must_use]
    pub const fn between_messages(&self) -> bool {
        self.left == 0 && !self.in_message
    }

    /// Takes back the frame that was reported last, nothing of which is passed on: what was passed before it ends with a frame. The walker
    /// is of no more use.
    pub const fn withdraw(&mut self) {
        self.left = 0;
    }

    /// Passes over a header, if there is one, and over what there is of its payload.
    #[inline]
    fn pass(&mut self, header: Option<Header>, there: usize) -> Step {
        let start = header.map_or(0, |header| header.size);
        let payload = Payload {
            start,
            offset: self.message - self.left,
            mask: self.mask,
        };
        let passed = usize::try_from(self.left).map_or(there, |left| left.min(there));
        self.left -= passed as u64;
        if self.left > 0 {
            self.mask = self.mask.map(|mask| turn(mask, passed));
        } else if self.last {
            self.in_message = false;
        }
        Step::Data {
            len: start + passed,
            header,
            payload,
            ends: self.between_messages(),
        }
    }

    #[inline]
    fn check(&self, header: &Header) -> Result<(), Violation> {
        match (self.sender, header.mask) {
            (Sender::Client, None) => return Err(Violation::Unmasked),
            (Sender::Server, Some(_)) => return Err(Violation::Masked),
            _ => {}
        }
        let begins = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        let allowed = if self.deflates && begins {
            COMPRESSED
        } else {
            0
        };
        if header.reserved & !allowed != 0 {
            return Err(Violation::ReservedBit);
        }
        Ok(())
    }

    #[inline]
    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        let continues = header.opcode == Opcode::Continuation;
        match (self.in_message, continues) {
            (false, true) => return Err(Violation::Continuation),
            (true, false) => return Err(Violation::Interleaved),
            _ => {}
        }
        let before = if continues { self.message } else { 0 };
        // Both are below 2^63, but the parts of one message may add up to more.
        let message = before.saturating_add(header.length);
        if message > self.message_limit {
            return Err(Violation::MessageTooBig);
        }
        self.message = message;
        self.in_message = true;
        self.last = header.fin;
        self.left = header.length;
        self.mask = header.mask;
        Ok(())
    }
}

fn control(header: &Header, unread: &[u8]) -> Step {
    // It has no more than 125 bytes.
    let size = header.length as usize;
    let Some(bytes) = unread.get(header.size..header.size + size) else {
        return Step::More;
    };
    let mut payload = [0; MOST_CONTROL];
    payload[..size].copy_from_slice(bytes);
    if let Some(mask) = header.mask {
        apply_mask(&mut payload[..size], mask, 0);
    }
    Step::Control(Control {
        opcode: header.opcode,
        len: header.size + size,
        payload,
        size,
    })
}

#[cfg(test)]
mod tests;

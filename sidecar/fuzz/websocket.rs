//! What must hold for any bytes that a WebSocket peer sends. The fuzz targets and `sidecar/tests/websocket_codec.rs` run the same.
//!
//! The walker is held against a [`model`] that has all bytes before it and reads RFC 6455 the simple way, one frame after another.

use bulkhead_sidecar::protocol::websocket::codec::{
    Close, Header, Opcode, Sender, Step, Utf8, Violation, Walker, apply_mask, write_close,
};

/// The limit of a message here: small, so that it is often passed.
pub const LIMIT: u64 = 300;

/// What somebody who walks a stream learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message begins.
    Begins(Opcode),
    /// A message has ended; its payload, unmasked.
    Ends(Vec<u8>),
    /// A control frame, unmasked.
    Control(Opcode, Vec<u8>),
}

/// A whole stream, as far as it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The message that has not ended.
    pub unfinished: Vec<u8>,
    /// Bytes that passed, from the front.
    pub passed: usize,
    /// What is wrong with the next one.
    pub violation: Option<Violation>,
}

/// Data: the first byte says what the rules are, the next eight where reads end, the rest is what the peer sends.
pub fn walker(data: &[u8]) {
    let Some(([how, cuts @ ..], stream)) = data.split_first_chunk::<9>() else {
        return;
    };
    let rules = Rules {
        sender: if how & 1 == 0 {
            Sender::Client
        } else {
            Sender::Server
        },
        limit: (how & 2 == 0).then_some(LIMIT),
        deflates: how & 4 != 0,
    };
    let reads = cuts.iter().cycle().map(|cut| usize::from(*cut) + 1);
    same_as_model(rules, stream, reads);
}

/// Walks a stream in reads of the given sizes, and at once, and as the model does: nothing may differ.
pub fn same_as_model(rules: Rules, stream: &[u8], reads: impl IntoIterator<Item = usize>) {
    let (expected, against, must) = model(rules, stream);
    let in_reads = walked(rules.walker(), stream, reads);
    let mut at_once = walked(rules.walker(), stream, [usize::MAX]);
    assert_eq!(in_reads, at_once, "{rules:?}: {stream:x?}");
    match at_once.violation.take() {
        Some(violation) => assert!(
            against.contains(&violation),
            "{violation:?}, not {against:?}: {stream:x?}"
        ),
        None => assert!(
            !must || against.is_empty(),
            "nothing, not {against:?}: {stream:x?}"
        ),
    }
    assert_eq!(at_once, expected, "{rules:?}: {stream:x?}");
}

/// Any payload of a Close frame. What may be read may be sent, and says the same.
pub fn close(payload: &[u8]) {
    let payload = payload.get(..125).unwrap_or(payload);
    let Ok(close) = Close::parse(payload) else {
        return;
    };
    if payload.is_empty() {
        assert_eq!(close.code(), Close::NO_STATUS);
        return;
    }
    let mut out = Vec::new();
    write_close(&mut out, close.code(), close.reason);
    assert_eq!(out.get(2..), Some(payload));
}

/// Data: a mask, then a text in parts, each behind a byte that says how long it is.
pub fn utf8(data: &[u8]) {
    let Some((mask, mut parts)) = data.split_first_chunk::<4>() else {
        return;
    };
    let (mut plain, mut masked) = (Utf8::default(), Utf8::default());
    let mut text = Vec::new();
    while let Some((length, rest)) = parts.split_first() {
        let (part, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        parts = rest;
        text.extend_from_slice(part);
        let checked = plain.check(part);
        let mut part = part.to_vec();
        apply_mask(&mut part, *mask, 0);
        assert_eq!(masked.check_masked(&part, *mask), checked);
        // Refused no later and no earlier than the text so far is beyond repair.
        let broken = std::str::from_utf8(&text).is_err_and(|error| error.error_len().is_some());
        assert_eq!(checked.is_err(), broken, "{text:x?}");
        if broken {
            return;
        }
    }
    assert_eq!(plain.end().is_ok(), std::str::from_utf8(&text).is_ok());
}

/// Walks a stream in reads of the given sizes, as a relay does, to its end or the first violation.
pub fn walked(mut walker: Walker, stream: &[u8], reads: impl IntoIterator<Item = usize>) -> Seen {
    let mut seen = Seen::default();
    let mut end = 0_usize;
    for read in reads {
        end = stream.len().min(end.saturating_add(read));
        loop {
            let unread = &stream[seen.passed..end];
            assert!(walker.at_boundary() || !walker.between_messages());
            match walker.step(unread) {
                Ok(Step::More) => break,
                Ok(Step::Data {
                    len,
                    header,
                    payload,
                    ends,
                }) => {
                    assert!(0 < len && payload.start <= len && len <= unread.len());
                    assert_eq!(payload.start, header.map_or(0, |header| header.size));
                    assert_eq!(payload.offset, seen.unfinished.len() as u64);
                    assert_eq!(ends, walker.between_messages());
                    if let Some(Header {
                        opcode: opcode @ (Opcode::Text | Opcode::Binary),
                        ..
                    }) = header
                    {
                        seen.events.push(Event::Begins(opcode));
                    }
                    let mut bytes = unread[payload.start..len].to_vec();
                    apply_mask(&mut bytes, payload.mask.unwrap_or_default(), 0);
                    seen.unfinished.extend(bytes);
                    if ends {
                        let message = std::mem::take(&mut seen.unfinished);
                        seen.events.push(Event::Ends(message));
                    }
                    seen.passed += len;
                }
                Ok(Step::Control(control)) => {
                    assert!(walker.at_boundary());
                    let payload = control.payload().to_vec();
                    seen.events.push(Event::Control(control.opcode, payload));
                    seen.passed += control.len;
                }
                Err(violation) => {
                    seen.violation = Some(violation);
                    return seen;
                }
            }
        }
        if end == stream.len() {
            break;
        }
    }
    seen
}

/// The rules of a stream: who sends, the limit of a message, and whether permessage-deflate was negotiated.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Who sends.
    pub sender: Sender,
    /// The most bytes of one message.
    pub limit: Option<u64>,
    /// Whether messages may be compressed.
    pub deflates: bool,
}

impl Rules {
    /// A walker under these rules.
    pub fn walker(self) -> Walker {
        Walker::new(self.sender, self.limit, self.deflates)
    }
}

/// What there is to be seen in a stream: RFC 6455, section 5, read with all bytes at hand. With it, what may be said against the frame
/// behind what passes, and whether something must be.
pub fn model(rules: Rules, stream: &[u8]) -> (Seen, Vec<Violation>, bool) {
    let mut seen = Seen::default();
    // Bytes of the message under way, the whole of its frames so far.
    let mut message = None;
    while let Some(frame) = Frame::read(&stream[seen.passed..]) {
        let violations = frame.violations(rules, message);
        if !violations.is_empty() || !frame.is_header_whole {
            return (seen, violations, frame.is_header_whole);
        }
        let mut payload = frame.payload.to_vec();
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte ^= frame.mask[at % 4];
        }
        let is_whole = payload.len() as u64 == frame.length;
        let end = seen.passed + frame.size + payload.len();
        if frame.opcode >= 8 {
            if !is_whole {
                break;
            }
            let opcode = [Opcode::Close, Opcode::Ping, Opcode::Pong][usize::from(frame.opcode - 8)];
            seen.events.push(Event::Control(opcode, payload));
        } else {
            match frame.opcode {
                1 => seen.events.push(Event::Begins(Opcode::Text)),
                2 => seen.events.push(Event::Begins(Opcode::Binary)),
                _ => {}
            }
            message = Some(message.unwrap_or(0) + u128::from(frame.length));
            seen.unfinished.extend(payload);
            if is_whole && frame.fin {
                message = None;
                seen.events
                    .push(Event::Ends(std::mem::take(&mut seen.unfinished)));
            }
        }
        seen.passed = end;
        if !is_whole {
            break;
        }
    }
    (seen, Vec::new(), false)
}

/// The frame at the front of some bytes, as far as they go.
struct Frame<'a> {
    fin: bool,
    reserved: u8,
    opcode: u8,
    is_masked: bool,
    /// Bytes behind the first two that say how long it is.
    more: usize,
    /// Their number, or that in the second byte; 0 where they are not whole.
    length: u64,
    is_length_whole: bool,
    mask: [u8; 4],
    size: usize,
    is_header_whole: bool,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let is_masked = second & 0b1000_0000 != 0;
        let short = second & 0b0111_1111;
        let more = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = bytes.get(2..2 + more);
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        let size = 2 + more + if is_masked { 4 } else { 0 };
        let behind = bytes.get(size..);
        let mut mask = [0; 4];
        if let (true, Some(_)) = (is_masked, behind) {
            mask.copy_from_slice(&bytes[size - 4..size]);
        }
        let length_number = length.map_or(0, |bytes| {
            if more == 0 {
                u64::from(short)
            } else {
                number(bytes)
            }
        });
        let there = behind.unwrap_or_default();
        let payload = &there[..there
            .len()
            .min(usize::try_from(length_number).unwrap_or(usize::MAX))];
        Some(Self {
            fin: first & 0b1000_0000 != 0,
            reserved: first >> 4 & 0b111,
            opcode: first & 0b1111,
            is_masked,
            more,
            length: length_number,
            is_length_whole: length.is_some(),
            mask,
            size,
            is_header_whole: behind.is_some(),
            payload,
        })
    }

    /// All that is wrong with it, as far as it is there.
    fn violations(&self, rules: Rules, message: Option<u128>) -> Vec<Violation> {
        let is_control = self.opcode >= 8;
        let is_known = matches!(self.opcode, 0..=2 | 8..=10);
        let of_client = rules.sender == Sender::Client;
        let may_compress = rules.deflates && matches!(self.opcode, 1 | 2);
        let whole = self.is_header_whole;
        let total = message.unwrap_or(0) + u128::from(self.length);
        let least = match self.more {
            2 => 126,
            8 => 1 << 16,
            _ => 0,
        };
        let bad_length = self.length < least || self.length >= 1 << 63;
        let rules = [
            (!is_known, Violation::ReservedOpcode(self.opcode)),
            (is_control && !self.fin, Violation::FragmentedControl),
            (
                is_control && (self.more > 0 || self.length > 125),
                Violation::LongControl,
            ),
            (self.is_length_whole && bad_length, Violation::Length),
            (whole && of_client && !self.is_masked, Violation::Unmasked),
            (whole && !of_client && self.is_masked, Violation::Masked),
            (whole && self.reserved & 0b011 != 0, Violation::ReservedBit),
            (
                whole && self.reserved & 0b100 != 0 && !may_compress,
                Violation::ReservedBit,
            ),
            (
                whole && self.opcode == 0 && message.is_none(),
                Violation::Continuation,
            ),
            (
                whole && matches!(self.opcode, 1 | 2) && message.is_some(),
                Violation::Interleaved,
            ),
            (
                whole && !is_control && rules.limit.is_some_and(|limit| total > u128::from(limit)),
                Violation::MessageTooBig,
            ),
        ];
        rules
            .into_iter()
            .filter_map(|(applies, violation)| applies.then_some(violation))
            .collect()
    }
}

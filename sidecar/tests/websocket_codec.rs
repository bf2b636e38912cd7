//! What WebSocket peers send, whatever frames it is made of and wherever reads cut it: the walker passes the very same bytes, and sees
//! what a simple model of RFC 6455 sees, and what tungstenite sees.
//!
//! What must hold for any bytes is in `fuzz/websocket.rs`, which cargo-fuzz runs for as long as one likes; here it is run for as long
//! as a test may take.

#![allow(
    clippy::panic,
    reason = "a test reports by panicking, in what it is made of too"
)]

#[path = "../fuzz/websocket.rs"]
mod targets;

use std::io::{Cursor, Read, Write};

use bulkhead_sidecar::protocol::websocket::codec::{
    Close, Header, Opcode, Sender, Violation, apply_mask, parse_header, write_close,
    write_masked_close, write_masked_pong, write_message, write_ping, write_pong,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use targets::{Event, LIMIT, Rules, Seen};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};

/// Cases of each property.
const CASES: u32 = 2048;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;

/// A frame as it is to be sent, right or wrong.
#[derive(Clone, Debug)]
struct Frame {
    fin: bool,
    reserved: u8,
    opcode: u8,
    mask: Option<[u8; 4]>,
    payload: Vec<u8>,
    /// Bytes that its length is written in beyond the second: as many as it takes, or more.
    more: usize,
}

impl Frame {
    fn write(&self, out: &mut Vec<u8>) {
        let needed = match self.payload.len() {
            0..126 => 0,
            126..65536 => 2,
            _ => 8,
        };
        let more = self.more.max(needed);
        out.push(u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode);
        let short = match more {
            0 => self.payload.len() as u8,
            2 => 126,
            _ => 127,
        };
        out.push(u8::from(self.mask.is_some()) << 7 | short);
        let length = (self.payload.len() as u64).to_be_bytes();
        out.extend_from_slice(&length[8 - more..]);
        out.extend(self.mask.iter().flatten());
        let start = out.len();
        out.extend_from_slice(&self.payload);
        if let Some(mask) = self.mask {
            apply_mask(&mut out[start..], mask, 0);
        }
    }
}

/// Bytes that do not repeat in step with a mask or a read.
fn filled(length: usize, seed: u8) -> Vec<u8> {
    (0..length)
        .map(|at| (at / 251 + at % 251) as u8 ^ seed)
        .collect()
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let edge = prop_oneof![Just(126), Just(127), Just(65535), Just(65536)];
    let long = prop_oneof![1 => edge, 2 => 126usize..2000];
    let long = (long, any::<u8>()).prop_map(|(length, seed)| filled(length, seed));
    prop_oneof![2 => Just(Vec::new()), 12 => vec(any::<u8>(), 0..126), 1 => long]
}

/// Lengths, most of them near the edges of their forms.
fn length() -> impl Strategy<Value = u64> {
    let edge = prop_oneof![Just(126_u64), Just(1 << 16), Just(1 << 63), Just(u64::MAX)];
    let near = (edge, 0..3u64).prop_map(|(edge, by)| edge.saturating_add(1).saturating_sub(by));
    prop_oneof![3 => near, 1 => any::<u64>()]
}

fn mask(sender: Sender) -> BoxedStrategy<Option<[u8; 4]>> {
    match sender {
        Sender::Client => any::<[u8; 4]>().prop_map(Some).boxed(),
        Sender::Server => Just(None).boxed(),
    }
}

fn control(sender: Sender) -> impl Strategy<Value = Frame> {
    let payload = vec(any::<u8>(), 0..=125);
    (9u8..=10, payload, mask(sender)).prop_map(|(opcode, payload, mask)| Frame {
        fin: true,
        reserved: 0,
        opcode,
        mask,
        payload,
        more: 0,
    })
}

/// A message that RFC 6455 allows, in fragments, with control frames between them.
fn message(sender: Sender) -> impl Strategy<Value = Vec<Frame>> {
    let part = (payload(), mask(sender), vec(control(sender), 0..3));
    (any::<bool>(), vec(part, 1..4)).prop_map(|(text, parts)| {
        let last = parts.len() - 1;
        let mut frames = Vec::new();
        for (at, (payload, mask, controls)) in parts.into_iter().enumerate() {
            let opcode = match (at, text) {
                (0, true) => TEXT,
                (0, false) => BINARY,
                _ => CONTINUATION,
            };
            // Text for those who check it: ASCII.
            let payload = match text {
                true => payload.into_iter().map(|byte| byte & 0x7F).collect(),
                false => payload,
            };
            frames.push(Frame {
                fin: at == last,
                reserved: 0,
                opcode,
                mask,
                payload,
                more: 0,
            });
            if at < last {
                frames.extend(controls);
            }
        }
        frames
    })
}

fn messages(sender: Sender) -> impl Strategy<Value = Vec<Frame>> {
    vec(
        prop_oneof![3 => message(sender), 1 => control(sender).prop_map(|it| vec![it])],
        0..6,
    )
    .prop_map(|messages| messages.concat())
}

/// Frames in any order, most of them right by themselves.
fn frames(sender: Sender) -> impl Strategy<Value = Vec<Frame>> {
    let opcode =
        prop_oneof![12 => 0u8..=2, 6 => 8u8..=10, 1 => any::<u8>().prop_map(|bits| bits & 0xF)];
    let reserved = prop_oneof![12 => Just(0), 3 => Just(4), 1 => 0u8..8];
    let other = match sender {
        Sender::Client => Sender::Server,
        Sender::Server => Sender::Client,
    };
    let mask = prop_oneof![20 => mask(sender), 1 => mask(other)];
    let more = prop_oneof![20 => Just(0), 1 => Just(2), 1 => Just(8)];
    let frame = (any::<bool>(), reserved, opcode, mask, payload(), more).prop_map(
        |(fin, reserved, opcode, mask, payload, more)| Frame {
            fin: fin || opcode >= 8,
            reserved,
            opcode,
            mask,
            payload,
            more,
        },
    );
    vec(frame, 0..8)
}

fn written(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        frame.write(&mut out);
    }
    out
}

fn sender() -> impl Strategy<Value = Sender> {
    prop_oneof![Just(Sender::Client), Just(Sender::Server)]
}

fn rules() -> impl Strategy<Value = Rules> {
    let limit = prop_oneof![Just(None), Just(Some(LIMIT))];
    (sender(), limit, any::<bool>()).prop_map(|(sender, limit, deflates)| Rules {
        sender,
        limit,
        deflates,
    })
}

/// Sizes of reads, without end.
fn reads() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![1usize..20, 20usize..70_000], 1..8)
}

fn endless(reads: &[usize]) -> impl Iterator<Item = usize> {
    reads.iter().copied().cycle()
}

/// A peer that has sent all it has to say, and takes what is said to it.
struct Sent(Cursor<Vec<u8>>);

impl Read for Sent {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Sent {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The messages and control frames that tungstenite reads. A message comes where it ends, as here.
fn read_by_tungstenite(sender: Sender, stream: &[u8]) -> Vec<Event> {
    let role = match sender {
        Sender::Client => Role::Server,
        Sender::Server => Role::Client,
    };
    let mut socket = WebSocket::from_raw_socket(Sent(Cursor::new(stream.to_vec())), role, None);
    let mut events = Vec::new();
    loop {
        events.push(match socket.read() {
            Ok(Message::Text(text)) => Event::Ends(text.as_bytes().to_vec()),
            Ok(Message::Binary(bytes)) => Event::Ends(bytes.to_vec()),
            Ok(Message::Ping(bytes)) => Event::Control(Opcode::Ping, bytes.to_vec()),
            Ok(Message::Pong(bytes)) => Event::Control(Opcode::Pong, bytes.to_vec()),
            Ok(other) => panic!("{other:?}"),
            Err(Error::Protocol(_) | Error::Io(_)) => return events,
            Err(other) => panic!("{other:?}"),
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn any_frames_are_what_the_model_says(
        (rules, frames) in rules().prop_flat_map(|rules| (Just(rules), frames(rules.sender))),
        reads in reads(),
        cut in proptest::option::of(any::<Index>()),
    ) {
        let mut stream = written(&frames);
        if let Some(cut) = cut {
            stream.truncate(cut.index(stream.len() + 1));
        }
        targets::same_as_model(rules, &stream, endless(&reads));
    }

    #[test]
    fn any_bytes_are_what_the_model_says(data in vec(any::<u8>(), 0..400)) {
        targets::walker(&data);
    }

    #[test]
    fn right_frames_with_bytes_changed_are_what_the_model_says(
        (rules, frames) in rules().prop_flat_map(|rules| (Just(rules), messages(rules.sender))),
        edits in vec((any::<Index>(), any::<u8>()), 1..6),
        reads in reads(),
    ) {
        let mut stream = written(&frames);
        for (place, byte) in edits {
            if !stream.is_empty() {
                let place = place.index(stream.len());
                stream[place] = byte;
            }
        }
        targets::same_as_model(rules, &stream, endless(&reads));
    }

    #[test]
    fn any_length_in_any_form_is_what_the_model_says(
        (sender, mask) in sender().prop_flat_map(|sender| (Just(sender), mask(sender))),
        opcode in prop_oneof![Just(TEXT), 8u8..=10],
        more in prop_oneof![Just(2), Just(8)],
        length in length(),
    ) {
        let short = if more == 2 { 126 } else { 127 };
        let mut stream = vec![0x80 | opcode, u8::from(mask.is_some()) << 7 | short];
        stream.extend_from_slice(&length.to_be_bytes()[8 - more..]);
        stream.extend(mask.iter().flatten());
        stream.extend_from_slice(b"payload");
        let rules = Rules { sender, limit: None, deflates: false };
        targets::same_as_model(rules, &stream, endless(&[1]));
    }

    #[test]
    fn any_payload_of_a_close_frame_is_right_or_refused(data in vec(any::<u8>(), 0..130)) {
        targets::close(&data);
    }

    #[test]
    fn any_close_that_may_be_sent_says_the_same(code in 1000u16..5000, reason in ".{0,200}") {
        let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        targets::close(&payload);
    }

    #[test]
    fn any_text_is_text_wherever_it_is_cut(data in vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
        targets::utf8(&data);
        let parts = [&[1, 2, 3, 4], text.as_bytes()].concat();
        targets::utf8(&parts);
    }

    #[test]
    fn a_header_that_is_written_is_read_the_same(
        fin: bool,
        reserved in 0u8..8,
        text: bool,
        mask: Option<[u8; 4]>,
        length in prop_oneof![0u64..300, 65_000u64..66_000, 0..=u64::MAX >> 1],
    ) {
        let opcode = if text { Opcode::Text } else { Opcode::Continuation };
        let header = Header { fin, reserved, ..Header::whole(opcode, length, mask) };
        let mut out = Vec::new();
        header.write(&mut out);
        prop_assert_eq!(out.len(), header.size);
        prop_assert_eq!(parse_header(&out), Ok(Some(header)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES / 4))]

    #[test]
    fn right_frames_all_pass_and_tungstenite_reads_the_same_messages(
        (sender, frames) in sender().prop_flat_map(|sender| (Just(sender), messages(sender))),
        reads in reads(),
    ) {
        let stream = written(&frames);
        let rules = Rules { sender, limit: None, deflates: false };
        let seen = targets::walked(rules.walker(), &stream, endless(&reads));
        prop_assert_eq!((seen.passed, seen.violation), (stream.len(), None));
        let mut events = seen.events;
        events.retain(|event| !matches!(event, Event::Begins(_)));
        prop_assert_eq!(events, read_by_tungstenite(sender, &stream));
    }
}

/// Every frame that the sidecar writes itself, to a client and to an application.
#[test]
fn what_the_sidecar_writes_is_right() {
    let (mut to_client, mut to_application) = (Vec::new(), Vec::new());
    write_ping(&mut to_client, b"hello");
    write_pong(&mut to_client, &[7; 200]);
    write_message(&mut to_client, Opcode::Binary, b"pre", &[8; 70_000], None);
    write_close(&mut to_client, Close::POLICY, "enough");
    write_masked_pong(&mut to_application, b"hello", 0x0102_0304);
    write_message(
        &mut to_application,
        Opcode::Text,
        b"pre",
        &[b'x'; 300],
        Some(7),
    );
    write_masked_close(&mut to_application, Close::GOING_AWAY, "", u32::MAX);
    let message = |start: &[u8], byte, count| Event::Ends([start, &vec![byte; count]].concat());
    let close = |code: u16, reason: &str| {
        Event::Control(
            Opcode::Close,
            [&code.to_be_bytes()[..], reason.as_bytes()].concat(),
        )
    };
    let rows = [
        (
            Sender::Server,
            to_client,
            vec![
                Event::Control(Opcode::Ping, b"hello".to_vec()),
                Event::Control(Opcode::Pong, vec![7; 125]),
                Event::Begins(Opcode::Binary),
                message(b"pre", 8, 70_000),
                close(1008, "enough"),
            ],
        ),
        (
            Sender::Client,
            to_application,
            vec![
                Event::Control(Opcode::Pong, b"hello".to_vec()),
                Event::Begins(Opcode::Text),
                message(b"pre", b'x', 300),
                close(1001, ""),
            ],
        ),
    ];
    for (sender, stream, events) in rows {
        let rules = Rules {
            sender,
            limit: None,
            deflates: false,
        };
        let seen = targets::walked(rules.walker(), &stream, [usize::MAX]);
        let expected = Seen {
            events,
            passed: stream.len(),
            ..Seen::default()
        };
        assert_eq!(seen, expected);
    }
}

/// The frame that is too much is not begun: neither its header nor any of its payload passes.
#[test]
fn nothing_passes_of_the_frame_that_breaks_a_rule() {
    let frame = |first: u8, length: usize| {
        let mut out = vec![first, 126];
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.resize(4 + length, b'x');
        out
    };
    let rules = Rules {
        sender: Sender::Server,
        limit: Some(LIMIT),
        deflates: false,
    };
    let rows = [
        (vec![frame(0x81, 301)], 0, Violation::MessageTooBig),
        (
            vec![frame(0x01, 200), frame(0x80, 126)],
            204,
            Violation::MessageTooBig,
        ),
        (
            vec![frame(0x01, 200), frame(0x81, 126)],
            204,
            Violation::Interleaved,
        ),
        (
            vec![frame(0x82, 300), frame(0x80, 126)],
            304,
            Violation::Continuation,
        ),
        (
            vec![frame(0x82, 300), frame(0x89, 126)],
            304,
            Violation::LongControl,
        ),
    ];
    for (frames, passed, violation) in rows {
        let stream = frames.concat();
        for read in 1..=stream.len() {
            let seen = targets::walked(rules.walker(), &stream, endless(&[read]));
            assert_eq!(
                (seen.passed, seen.violation),
                (passed, Some(violation)),
                "{read} at a time"
            );
        }
    }
}

//! What is not legal, and the code that it ends with.

use bulkhead_tests::websocket::Frame;
use bulkhead_tests::websocket::frames::{
    BINARY, CLOSE, CONTINUATION, Length, MASK, PING, PONG, TEXT,
};

use super::{Case, Sender};

/// Every row.
pub(super) fn cases() -> Vec<Case> {
    Sender::BOTH
        .into_iter()
        .flat_map(|sender| {
            let mut cases = reserved_bits(sender);
            cases.extend(reserved_opcodes(sender));
            cases.extend(masking(sender));
            cases.extend(lengths(sender));
            cases.extend(control_frames(sender));
            cases.extend(fragmentation(sender));
            cases.extend(closes(sender));
            cases
        })
        .collect()
}

/// What stands before the mistake, and passes.
fn before() -> [Frame; 1] {
    [Frame::text("before")]
}

/// Section 5.2: RSV1, RSV2 and RSV3 are 0 unless an extension was agreed on that gives them a meaning.
fn reserved_bits(sender: Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..=7 {
        for (opcode, kind) in [
            (TEXT, "a text"),
            (BINARY, "a binary"),
            (PING, "a ping"),
            (CLOSE, "a Close"),
        ] {
            let name = format!("reserved bits {bits:03b} on {kind}");
            let wrong = sender.writes(&Frame::new(opcode, "").reserved(bits));
            cases.push(Case::illegal(name, sender, &before(), wrong));
        }
    }
    // RFC 7692, section 6: RSV1 on the first frame of a message alone.
    for (name, frames, wrong) in [
        (
            "RSV1 on a continuation where compression is agreed",
            vec![Frame::text("a").part()],
            Frame::continuation("b").reserved(0b100),
        ),
        (
            "RSV1 on a ping where compression is agreed",
            vec![],
            Frame::ping("").reserved(0b100),
        ),
        (
            "RSV2 where compression is agreed",
            vec![],
            Frame::text("").reserved(0b010),
        ),
        (
            "RSV3 where compression is agreed",
            vec![],
            Frame::text("").reserved(0b001),
        ),
        (
            "all reserved bits where compression is agreed",
            vec![],
            Frame::text("").reserved(0b111),
        ),
    ] {
        cases.push(Case::illegal(name, sender, &frames, sender.writes(&wrong)).deflating());
    }
    cases
}

/// Section 5.2: 3 to 7 and 11 to 15.
fn reserved_opcodes(sender: Sender) -> Vec<Case> {
    (3..=7)
        .chain(11..=15)
        .flat_map(|opcode| {
            [("", vec![]), (" with a payload", vec![1; 20])].map(|(with, payload)| {
                let wrong = sender.writes(&Frame::new(opcode, payload));
                Case::illegal(format!("opcode {opcode}{with}"), sender, &before(), wrong)
            })
        })
        .collect()
}

/// Section 5.1: a client masks, a server does not.
fn masking(sender: Sender) -> Vec<Case> {
    [
        (TEXT, "text"),
        (BINARY, "binary"),
        (PING, "ping"),
        (PONG, "pong"),
        (CLOSE, "Close"),
    ]
    .into_iter()
    .map(|(opcode, kind)| {
        let frame = Frame::new(opcode, "");
        let (wrong, name) = match sender {
            Sender::Client => (frame.plain(), format!("an unmasked {kind}")),
            Sender::Application => (frame.masked(), format!("a masked {kind}")),
        };
        Case::illegal(name, sender, &before(), wrong)
    })
    .collect()
}

/// Section 5.2: in as few bytes as it needs, and below 2^63.
fn lengths(sender: Sender) -> Vec<Case> {
    let mask = (sender == Sender::Client).then_some(MASK);
    let written = |length, form| Frame::binary(vec![0; length]).written(mask, form);
    let mut cases = Vec::new();
    for length in [0, 1, 125] {
        let name = format!("the length {length} in 16 bits");
        cases.push(Case::illegal(
            name,
            sender,
            &before(),
            written(length, Length::Short),
        ));
    }
    for length in [0, 1, 125, 126, 65_535] {
        let name = format!("the length {length} in 64 bits");
        cases.push(Case::illegal(
            name,
            sender,
            &before(),
            written(length, Length::Long),
        ));
    }
    let masks = if mask.is_some() { 0x80 } else { 0 };
    for top in [0x80, 0xFF] {
        let mut wrong = vec![0x82, masks | 127, top, 0, 0, 0, 0, 0, 0, 0];
        wrong.extend(mask.into_iter().flatten());
        cases.push(Case::illegal(
            format!("a length that begins with {top:x}"),
            sender,
            &before(),
            wrong,
        ));
    }
    cases
}

/// Section 5.5: whole, and no more than 125 bytes.
fn control_frames(sender: Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for (opcode, kind) in [(CLOSE, "Close"), (PING, "ping"), (PONG, "pong")] {
        let part = sender.writes(&Frame::new(opcode, "").part());
        cases.push(Case::illegal(
            format!("a {kind} in fragments"),
            sender,
            &before(),
            part,
        ));
        for length in [126, 1000, 65_536] {
            // A code and a reason, where it is a Close.
            let payload = [vec![0x03, 0xE8], vec![b'x'; length - 2]].concat();
            let wrong = sender.writes(&Frame::new(opcode, payload));
            cases.push(Case::illegal(
                format!("a {kind} of {length} bytes"),
                sender,
                &before(),
                wrong,
            ));
        }
        let inside = sender.writes(&Frame::new(opcode, "").part());
        let name = format!("a fragmented {kind} in a fragmented message");
        cases.push(Case::illegal(
            name,
            sender,
            &[Frame::text("a").part()],
            inside,
        ));
    }
    cases
}

/// Section 5.4: fragments of one message, one after another.
fn fragmentation(sender: Sender) -> Vec<Case> {
    let writes = |frame: Frame| sender.writes(&frame);
    let begun = || vec![Frame::text("begun").part()];
    let ended = || vec![Frame::text("begun").part(), Frame::continuation("ended")];
    [
        (
            "a continuation of nothing",
            vec![],
            writes(Frame::continuation("x")),
        ),
        (
            "the part of a continuation of nothing",
            vec![],
            writes(Frame::continuation("x").part()),
        ),
        (
            "an empty continuation of nothing",
            vec![],
            writes(Frame::new(CONTINUATION, "")),
        ),
        (
            "a continuation after a whole message",
            before().to_vec(),
            writes(Frame::continuation("x")),
        ),
        (
            "a continuation after the last",
            ended(),
            writes(Frame::continuation("x")),
        ),
        (
            "a continuation after a ping",
            vec![Frame::ping("x")],
            writes(Frame::continuation("x")),
        ),
        ("text in a message", begun(), writes(Frame::text("x"))),
        ("binary in a message", begun(), writes(Frame::binary("x"))),
        (
            "a part of text in a message",
            begun(),
            writes(Frame::text("x").part()),
        ),
        (
            "text in a message behind a ping",
            vec![Frame::binary("a").part(), Frame::ping("")],
            writes(Frame::text("x")),
        ),
    ]
    .into_iter()
    .map(|(name, frames, wrong)| Case::illegal(name, sender, &frames, wrong))
    .collect()
}

/// Sections 5.5.1 and 7.4: a code that may be sent, whole, and a reason in UTF-8.
fn closes(sender: Sender) -> Vec<Case> {
    let codes = [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    let mut cases: Vec<Case> = codes
        .iter()
        .map(|code| {
            let wrong = sender.writes(&Frame::close(*code, "why"));
            Case::illegal(format!("a Close with {code}"), sender, &before(), wrong)
        })
        .collect();
    let half = sender.writes(&Frame::new(CLOSE, [3]));
    cases.push(Case::illegal(
        "a Close with half a code",
        sender,
        &before(),
        half,
    ));
    for (name, reason) in [
        ("a Close whose reason is not UTF-8", &[0xFF, 0xFE][..]),
        (
            "a Close whose reason ends within a character",
            &[b'x', 0xE2, 0x82],
        ),
        ("a Close whose reason is a surrogate", &[0xED, 0xA0, 0x80]),
    ] {
        let payload = [&[0x03, 0xE8][..], reason].concat();
        let wrong = sender.writes(&Frame::new(CLOSE, payload));
        cases.push(Case::illegal(name, sender, &before(), wrong).code(1007));
    }
    cases
}

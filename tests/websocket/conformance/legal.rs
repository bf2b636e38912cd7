//! What is legal.

use bulkhead_tests::websocket::Frame;
use bulkhead_tests::websocket::frames::{BINARY, CLOSE, Length, TEXT};

use super::{Case, Sender};

/// Every row.
pub(super) fn cases() -> Vec<Case> {
    Sender::BOTH
        .into_iter()
        .flat_map(|sender| {
            let mut cases = lengths(sender);
            cases.extend(control_frames(sender));
            cases.extend(fragments(sender));
            cases.extend(texts(sender));
            cases.extend(compressed(sender));
            cases.extend(closes(sender));
            cases
        })
        .chain(masks())
        .collect()
}

/// Section 5.2: a length in 7, 16 or 64 bits, at both sides of each border.
fn lengths(sender: Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [
        0, 1, 2, 124, 125, 126, 127, 128, 1000, 65_534, 65_535, 65_536, 65_537, 300_000,
    ] {
        for (opcode, kind) in [(TEXT, "text"), (BINARY, "binary")] {
            let name = format!("a {kind} message of {length} bytes");
            let frame = Frame::new(opcode, vec![b'*'; length]);
            cases.push(Case::legal(name, sender, &[frame]));
        }
    }
    let many: Vec<Frame> = (0..100).map(|at| Frame::text(format!("{at}"))).collect();
    cases.push(Case::legal(
        "a hundred messages in one segment",
        sender,
        &many,
    ));
    cases
}

/// Section 5.5: up to 125 bytes, whenever between two frames.
fn control_frames(sender: Sender) -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [0, 1, 124, 125] {
        let payload = vec![0xFE; length];
        for (frame, kind) in [
            (Frame::ping(payload.clone()), "ping"),
            (Frame::pong(payload), "pong"),
        ] {
            let name = format!("a {kind} of {length} bytes");
            cases.push(Case::legal(name, sender, &[frame]));
        }
    }
    let pings: Vec<Frame> = (0..10).map(|at| Frame::ping(format!("{at}"))).collect();
    cases.push(Case::legal("ten pings", sender, &pings));
    let pings: Vec<Frame> = ["a", "b", "c"].iter().map(|it| Frame::pong(*it)).collect();
    cases.push(Case::legal(
        "pongs that nothing has asked for",
        sender,
        &pings,
    ));
    cases
}

/// Section 5.4: in any number of frames, with control frames between them.
fn fragments(sender: Sender) -> Vec<Case> {
    let (first, next, last) = (
        || Frame::text("one ").part(),
        |text: &str| Frame::continuation(text).part(),
        |text: &str| Frame::continuation(text),
    );
    let hundred: Vec<Frame> = std::iter::once(Frame::binary("0").part())
        .chain((1..99).map(|at| Frame::continuation(format!("{at}")).part()))
        .chain([Frame::continuation("99")])
        .collect();
    let big = |size| vec![7; size];
    [
        ("two fragments", vec![first(), last("two")]),
        (
            "three fragments",
            vec![first(), next("two "), last("three")],
        ),
        (
            "an empty first fragment",
            vec![Frame::text("").part(), last("x")],
        ),
        (
            "an empty fragment between",
            vec![first(), next(""), last("x")],
        ),
        ("an empty last fragment", vec![first(), last("")]),
        (
            "fragments that are all empty",
            vec![Frame::text("").part(), next(""), last("")],
        ),
        (
            "binary fragments",
            vec![Frame::binary("a").part(), last("b")],
        ),
        ("a hundred fragments", hundred),
        (
            "fragments of 64-bit lengths",
            vec![
                Frame::binary(big(70_000)).part(),
                Frame::continuation(big(70_000)),
            ],
        ),
        (
            "a ping between fragments",
            vec![first(), Frame::ping("between"), last("two")],
        ),
        (
            "a pong between fragments",
            vec![first(), Frame::pong(""), last("two")],
        ),
        (
            "pings between all fragments",
            vec![
                first(),
                Frame::ping("1"),
                next("x"),
                Frame::ping("2"),
                Frame::ping("3"),
                last("y"),
            ],
        ),
        (
            "a fragmented message after another",
            vec![first(), last("two"), Frame::binary("a").part(), last("b")],
        ),
        (
            "a whole message after a fragmented one",
            vec![first(), last("two"), Frame::text("whole")],
        ),
    ]
    .into_iter()
    .map(|(name, frames)| Case::legal(name, sender, &frames))
    .collect()
}

/// Section 8.1: whether text is UTF-8 is for the ends to judge, unless the policy asks.
fn texts(sender: Sender) -> Vec<Case> {
    let euro = "€".as_bytes();
    [
        ("text of four-byte characters", vec![Frame::text("𝄞😀🦀")]),
        (
            "a character cut by fragments",
            vec![
                Frame::text(&euro[..1]).part(),
                Frame::continuation(&euro[1..]),
            ],
        ),
        (
            "a character in three fragments",
            vec![
                Frame::text(&euro[..1]).part(),
                Frame::continuation(&euro[1..2]).part(),
                Frame::continuation(&euro[2..]),
            ],
        ),
        (
            "a character cut by a ping",
            vec![
                Frame::text(&euro[..2]).part(),
                Frame::ping("x"),
                Frame::continuation(&euro[2..]),
            ],
        ),
        ("text with a NUL", vec![Frame::text("a\0b")]),
        (
            "text that is not UTF-8",
            vec![Frame::text([0xCE, 0xBA, 0xE1, 0xFF])],
        ),
        ("a surrogate", vec![Frame::text([0xED, 0xA0, 0x80])]),
        ("an overlong form", vec![Frame::text([0xC0, 0xAF])]),
        (
            "above the last character",
            vec![Frame::text([0xF4, 0x90, 0x80, 0x80])],
        ),
        ("half a character at the end", vec![Frame::text(&euro[..2])]),
    ]
    .into_iter()
    .map(|(name, frames)| Case::legal(name, sender, &frames))
    .collect()
}

/// RFC 7692: RSV1 on the first frame of a message.
fn compressed(sender: Sender) -> Vec<Case> {
    // "Hello" of RFC 7692, section 7.2.3.1, and the same in two fragments.
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let marked = |frame: Frame| frame.reserved(0b100);
    [
        ("a compressed message", vec![marked(Frame::text(hello))]),
        (
            "a compressed binary message",
            vec![marked(Frame::binary(hello))],
        ),
        (
            "a compressed message in fragments",
            vec![
                marked(Frame::text(&hello[..3])).part(),
                Frame::continuation(&hello[3..]),
            ],
        ),
        (
            "a ping in a compressed message",
            vec![
                marked(Frame::text(&hello[..3])).part(),
                Frame::ping("x"),
                Frame::continuation(&hello[3..]),
            ],
        ),
        (
            "a plain message where compression is agreed",
            vec![Frame::text("Hello")],
        ),
        (
            "compressed and plain by turns",
            vec![
                marked(Frame::text(hello)),
                Frame::text("x"),
                marked(Frame::text(hello)),
            ],
        ),
    ]
    .into_iter()
    .map(|(name, frames)| Case::legal(name, sender, &frames).deflating())
    .collect()
}

/// Section 7.4: every code that may be sent, with a reason, without, and without a code.
fn closes(sender: Sender) -> Vec<Case> {
    let codes = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ];
    let mut cases: Vec<Case> = codes
        .iter()
        .map(|code| {
            Case::legal(
                format!("a Close with {code}"),
                sender,
                &[Frame::close(*code, "why")],
            )
        })
        .collect();
    cases.push(Case::legal(
        "a Close without a code",
        sender,
        &[Frame::new(CLOSE, "")],
    ));
    cases.push(Case::legal(
        "a Close without a reason",
        sender,
        &[Frame::close(1000, "")],
    ));
    let longest = "ü".repeat(61) + "x";
    cases.push(Case::legal(
        "a Close with the longest reason",
        sender,
        &[Frame::close(1000, &longest)],
    ));
    cases
}

/// Section 5.3: any mask, zero among them.
fn masks() -> Vec<Case> {
    [[0; 4], [0xFF; 4], [0, 0, 0, 1], [0x80, 0, 0, 0]]
        .into_iter()
        .map(|mask| {
            let bytes =
                Frame::text("masked in one way or another").written(Some(mask), Length::Shortest);
            let mut case = Case::legal(format!("the mask {mask:02x?}"), Sender::Client, &[]);
            case.passes = bytes.len();
            case.bytes = bytes;
            case
        })
        .collect()
}

use super::*;

/// A frame of a client or a server, in the short form of a length.
fn frame(first: u8, sender: Sender, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    match sender {
        Sender::Server => [&[first, length], payload].concat(),
        Sender::Client => {
            let mask = [1, 2, 3, 4];
            let mut masked = payload.to_vec();
            apply_mask(&mut masked, mask, 0);
            [&[first, 0x80 | length][..], &mask, &masked].concat()
        }
    }
}

/// What a walker sees in `bytes`, given `chunk` more of them at a time: `T`, `B`, `C` for the first bytes of frames, `.` at the end of
/// messages, `p`, `q`, `x` for Ping, Pong and Close.
fn seen(mut walker: Walker, bytes: &[u8], chunk: usize) -> Result<String, Violation> {
    let (mut seen, mut start, mut end) = (String::new(), 0, 0);
    while end < bytes.len() {
        end = (end + chunk).min(bytes.len());
        while start < end {
            match walker.step(&bytes[start..end])? {
                Step::More => break,
                Step::Data {
                    len, header, ends, ..
                } => {
                    seen.extend(header.map(|header| match header.opcode {
                        Opcode::Text => 'T',
                        Opcode::Binary => 'B',
                        _ => 'C',
                    }));
                    seen.extend(ends.then_some('.'));
                    start += len;
                }
                Step::Control(control) => {
                    seen.push(match control.opcode {
                        Opcode::Ping => 'p',
                        Opcode::Pong => 'q',
                        _ => 'x',
                    });
                    start += control.len;
                }
            }
        }
    }
    assert_eq!(start, bytes.len(), "everything has been passed");
    Ok(seen)
}

fn of(sender: Sender) -> Walker {
    Walker::new(sender, Some(100), false)
}

#[test]
fn messages_fragments_and_interleaved_control_frames_are_seen_whatever_the_chunks() {
    for sender in [Sender::Client, Sender::Server] {
        let frames: Vec<u8> = [
            (0x81, &b"hello"[..]),
            (0x82, b""),
            (0x01, b"a"),
            (0x89, b"ping"),
            (0x00, b"b"),
            (0x8A, b""),
            (0x80, b"c"),
            (0x88, b"\x03\xe8"),
        ]
        .iter()
        .flat_map(|(first, payload)| frame(*first, sender, payload))
        .collect();
        for chunk in 1..=frames.len() {
            let seen = seen(of(sender), &frames, chunk).unwrap();
            assert_eq!(seen, "T.B.TpCqC.x", "{chunk} bytes at a time");
        }
    }
}

#[test]
fn what_is_out_of_order_masked_wrongly_or_reserved_is_refused() {
    let rows: [(&[u8], Violation); 9] = [
        (&[0x80, 0x80, 1, 2, 3, 4], Violation::Continuation),
        (
            &[0x01, 0x80, 1, 2, 3, 4, 0x81, 0x80, 1, 2, 3, 4],
            Violation::Interleaved,
        ),
        (
            &[0x01, 0x80, 1, 2, 3, 4, 0x02, 0x80, 1, 2, 3, 4],
            Violation::Interleaved,
        ),
        (&[0x81, 0x00], Violation::Unmasked),
        (&[0x89, 0x00], Violation::Unmasked),
        (&[0xC1, 0x80, 1, 2, 3, 4], Violation::ReservedBit),
        (&[0xA1, 0x80, 1, 2, 3, 4], Violation::ReservedBit),
        (&[0x91, 0x80, 1, 2, 3, 4], Violation::ReservedBit),
        (&[0x81, 0xE5, 1, 2, 3, 4], Violation::MessageTooBig),
    ];
    for (bytes, violation) in rows {
        assert_eq!(
            seen(of(Sender::Client), bytes, bytes.len()),
            Err(violation),
            "{bytes:x?}"
        );
    }
    assert_eq!(
        seen(of(Sender::Server), &[0x81, 0x80, 1, 2, 3, 4], 6),
        Err(Violation::Masked)
    );
}

#[test]
fn compression_marks_the_first_frame_of_a_message_and_no_other() {
    let walk = |bytes: &[u8]| seen(Walker::new(Sender::Server, None, true), bytes, bytes.len());
    assert_eq!(walk(&[0xC1, 0]), Ok("T.".into()));
    assert_eq!(walk(&[0x41, 0, 0x80, 0]), Ok("TC.".into()));
    assert_eq!(walk(&[0x41, 0, 0xC0, 0]), Err(Violation::ReservedBit));
    assert_eq!(walk(&[0xC9, 0]), Err(Violation::ReservedBit));
    assert_eq!(walk(&[0xA1, 0]), Err(Violation::ReservedBit));
}

#[test]
fn the_parts_of_a_message_count_together_against_its_limit() {
    let part = |first| frame(first, Sender::Server, &[7; 50]);
    let within = [part(0x01), part(0x80), part(0x01), part(0x80)].concat();
    assert_eq!(seen(of(Sender::Server), &within, 9).unwrap(), "TC.TC.");
    let above = [part(0x01), part(0x00), frame(0x80, Sender::Server, &[7])].concat();
    assert_eq!(
        seen(of(Sender::Server), &above, 9),
        Err(Violation::MessageTooBig)
    );
}

#[test]
fn a_frame_that_says_it_is_huge_is_passed_as_it_comes() {
    let mut walker = Walker::new(Sender::Server, None, false);
    let header = [&[0x82, 127][..], &(u64::MAX >> 1).to_be_bytes()].concat();
    assert!(matches!(
        walker.step(&header),
        Ok(Step::Data {
            len: 10,
            ends: false,
            ..
        })
    ));
    for _ in 0..10 {
        assert!(matches!(
            walker.step(&[0; 1000]),
            Ok(Step::Data {
                len: 1000,
                header: None,
                ends: false,
                ..
            })
        ));
        assert!(!walker.at_boundary());
    }
}

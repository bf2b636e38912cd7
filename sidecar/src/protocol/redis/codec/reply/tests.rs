//! One reply after the other, whole and in parts.

use proptest::prelude::*;

use super::*;

/// What each reply in `bytes` is, and its bytes, where they come in parts of these sizes.
fn walked(bytes: &[u8], parts: &[usize]) -> Result<Vec<(ReplyKind, Vec<u8>)>, ReplyError> {
    let mut walker = ReplyWalker::new();
    let mut parts = parts.iter().cycle();
    let (mut done, mut there, mut replies) = (0, 0, Vec::new());
    let mut under_way = None;
    loop {
        match walker.step(&bytes[done..there])? {
            ReplyStep::More => {
                if there == bytes.len() {
                    assert_eq!(walker.between_replies(), under_way.is_none());
                    return Ok(replies);
                }
                there = (there + parts.next().unwrap()).min(bytes.len());
            }
            ReplyStep::Data { len, begins, ends } => {
                assert!(len > 0);
                let (kind, mut so_far) = match begins {
                    Some(kind) => (kind, Vec::new()),
                    None => under_way.take().unwrap(),
                };
                so_far.extend_from_slice(&bytes[done..done + len]);
                done += len;
                if ends {
                    replies.push((kind, so_far));
                } else {
                    under_way = Some((kind, so_far));
                }
            }
        }
    }
}

#[test]
fn every_type_ends_where_it_ends() {
    use ReplyKind::{Answer, Attribute, Error, Push};
    let replies: &[(ReplyKind, &str)] = &[
        (Answer, "+OK\r\n"),
        (Error, "-ERR no\r\n"),
        (Error, "-ERR\r\n"),
        (Answer, ":-17\r\n"),
        (Answer, "$3\r\nabc\r\n"),
        (Answer, "$0\r\n\r\n"),
        (Answer, "$-1\r\n"),
        (Answer, "*-1\r\n"),
        (Answer, "*0\r\n"),
        (Answer, "*2\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n+x\r\n"),
        (Answer, "*2\r\n*0\r\n*0\r\n"),
        (Answer, "_\r\n"),
        (Answer, "#t\r\n"),
        (Answer, ",1.5e3\r\n"),
        (Answer, "(3492890328409238509324850943850943825024385\r\n"),
        (Answer, "=15\r\ntxt:Some string\r\n"),
        (Error, "!11\r\nSYNTAX nope\r\n"),
        (Answer, "%2\r\n+a\r\n:1\r\n+b\r\n~2\r\n:1\r\n:2\r\n"),
        (Answer, "~1\r\n$2\r\n\r\n\r\n"),
        (Push, ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"),
        (Attribute, "|1\r\n+ttl\r\n:10\r\n"),
        (Answer, "*2\r\n:1\r\n|1\r\n+ttl\r\n:10\r\n:2\r\n"),
    ];
    let bytes: Vec<u8> = replies.iter().flat_map(|(_, text)| text.bytes()).collect();
    let want: Vec<_> = replies
        .iter()
        .map(|(kind, text)| (*kind, text.as_bytes().to_vec()))
        .collect();
    for part in [1, 2, 3, 5, 11, bytes.len()] {
        assert_eq!(walked(&bytes, &[part]), Ok(want.clone()), "parts of {part}");
    }
}

#[test]
fn what_is_no_reply_is_an_error() {
    for (bytes, want) in [
        ("x\r\n", ReplyError::Marker(b'x')),
        ("$?\r\n", ReplyError::Length),
        ("*x\r\n", ReplyError::Length),
        ("$-2\r\n", ReplyError::Length),
        ("*9999999999999999\r\n", ReplyError::Length),
        ("*1\r\nx", ReplyError::Marker(b'x')),
    ] {
        assert_eq!(walked(bytes.as_bytes(), &[1]), Err(want), "{bytes:?}");
    }
}

#[test]
fn nesting_is_bounded_and_lists_of_lists_are_not() {
    let deep = "*2\r\n".repeat(MOST_DEPTH + 1);
    let error = walked(deep.as_bytes(), &[deep.len()]);
    assert_eq!(error, Err(ReplyError::Depth(MOST_DEPTH)));
    // The last element of each is the next: nothing has to be remembered.
    let chain = "*1\r\n".repeat(10_000) + ":1\r\n";
    assert_eq!(walked(chain.as_bytes(), &[4096]).unwrap().len(), 1);
}

#[test]
fn an_error_has_a_code_word() {
    for (bytes, want) in [
        ("-ERR no\r\n", Some("ERR")),
        ("-MOVED 1 h:1\r\n", Some("MOVED")),
        ("-LOADING\r\n", Some("LOADING")),
        ("-ER", None),
        ("!9\r\nSYNTAX no\r\n", Some("SYNTAX")),
        ("!6\r\nSYNTAX\r\n", Some("SYNTAX")),
        ("!6\r\nSYN", None),
        ("+OK\r\n", None),
    ] {
        let want = want.map(str::as_bytes);
        assert_eq!(error_code(bytes.as_bytes()), Ok(want), "{bytes:?}");
    }
    let long = format!("-{}", "X".repeat(100));
    assert_eq!(
        error_code(long.as_bytes()).unwrap().unwrap().len(),
        MOST_CODE
    );
}

/// A reply, whatever it is.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        "[+:,(][a-z0-9 ]{0,9}".prop_map(|line| format!("{line}\r\n").into_bytes()),
        "-[A-Z]{1,9}( [a-z]{0,9})?".prop_map(|line| format!("{line}\r\n").into_bytes()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        ("[$=]", proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(marker, body)| {
            let head = format!("{marker}{}\r\n", body.len());
            [head.as_bytes(), &body, b"\r\n"].concat()
        }),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        ("[*~>]", proptest::collection::vec(inner, 0..5)).prop_map(|(marker, elements)| {
            let head = format!("{marker}{}\r\n", elements.len());
            [head.as_bytes(), &elements.concat()].concat()
        })
    })
}

proptest! {
    #[test]
    fn any_parts_make_the_same_replies(
        replies in proptest::collection::vec(reply(), 0..6),
        parts in proptest::collection::vec(1_usize..30, 1..8),
    ) {
        let bytes = replies.concat();
        let walked = walked(&bytes, &parts).unwrap();
        let bodies: Vec<Vec<u8>> = walked.into_iter().map(|(_, bytes)| bytes).collect();
        prop_assert_eq!(bodies, replies);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[*$%~>|+:0-9\r\n-]{0,40}") {
        let _ = walked(&bytes, &[3]);
        let _ = walked(text.as_bytes(), &[3]);
    }
}

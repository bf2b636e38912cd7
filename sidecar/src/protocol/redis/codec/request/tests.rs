//! One command after the other, whole and in parts.

use proptest::prelude::*;

use super::super::{TailStep, push_array_header, push_bulk};
use super::*;

fn command(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    push_array_header(&mut out, arguments.len());
    for argument in arguments {
        push_bulk(&mut out, argument);
    }
    out
}

fn owned(arguments: &Arguments<'_>) -> Vec<Vec<u8>> {
    arguments.iter().map(<[u8]>::to_vec).collect()
}

/// All commands in `bytes`, which come in parts of these sizes, in turn.
fn walked(bytes: &[u8], parts: &[usize]) -> Result<Vec<Vec<Vec<u8>>>, RequestError> {
    let mut walker = RequestWalker::new(Limits::SERVER);
    let mut parts = parts.iter().cycle();
    let (mut done, mut there, mut commands) = (0, 0, Vec::new());
    loop {
        let unread = &bytes[done..there];
        match walker.walk(unread)? {
            RequestStep::More | RequestStep::Long(_) => {
                if there == bytes.len() {
                    return Ok(commands);
                }
                there = (there + parts.next().unwrap()).min(bytes.len());
            }
            RequestStep::Nothing { len } => {
                walker.next();
                done += len;
            }
            RequestStep::Whole { len } => {
                let arguments = walker.arguments(unread);
                assert!(arguments.complete());
                commands.push(owned(&arguments));
                walker.next();
                done += len;
            }
        }
    }
}

#[test]
fn commands_are_told_apart() {
    let bytes = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n\r\n*0\r\n*-1\r\n  \nset k \"a b\"\n*1\r\n$0\r\n\r\n";
    let want: Vec<Vec<Vec<u8>>> = vec![
        vec![b"GET".to_vec(), b"k".to_vec()],
        vec![b"PING".to_vec()],
        vec![b"set".to_vec(), b"k".to_vec(), b"a b".to_vec()],
        vec![b"".to_vec()],
    ];
    for part in [1, 2, 3, 7, bytes.len()] {
        assert_eq!(walked(bytes, &[part]), Ok(want.clone()), "parts of {part}");
    }
}

#[test]
fn what_breaks_the_protocol_is_named_as_the_server_names_it() {
    for (bytes, text) in [
        ("*a\r\n", "Protocol error: invalid multibulk length"),
        ("*01\r\n", "Protocol error: invalid multibulk length"),
        ("*1048577\r\n", "Protocol error: invalid multibulk length"),
        (
            "*99999999999999999999\r\n",
            "Protocol error: invalid multibulk length",
        ),
        ("*1\r\n:3\r\n", "Protocol error: expected '$', got ':'"),
        ("*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (
            "*1\r\n$536870913\r\n",
            "Protocol error: invalid bulk length",
        ),
        (
            "*1\r\n$1\r\nab\r\n",
            "Protocol error: an argument does not end with CR LF where its length says",
        ),
        ("get a\0b\r\n", "Protocol error: a NUL in an inline request"),
        (
            "get \"k\r\n",
            "Protocol error: unbalanced quotes in request",
        ),
        (
            "POST / HTTP/1.1\r\n",
            "Protocol error: this is an HTTP request, and this port speaks Redis",
        ),
        (
            "Host: localhost\r\n",
            "Protocol error: this is an HTTP request, and this port speaks Redis",
        ),
    ] {
        for part in [1, bytes.len()] {
            let error = walked(bytes.as_bytes(), &[part]).unwrap_err();
            assert_eq!(error.to_string(), text, "{bytes:?}");
        }
    }
}

#[test]
fn an_inline_command_is_bounded() {
    let line = vec![b'a'; MOST_INLINE + 1];
    let error = walked(&line, &[line.len()]).unwrap_err();
    assert_eq!(error, RequestError::InlineLength);
    let line = [&line[..], b"\n"].concat();
    let error = walked(&line, &[line.len()]).unwrap_err();
    assert_eq!(error, RequestError::InlineLength);
}

#[test]
fn who_has_not_said_who_they_are_says_little() {
    let walk = |bytes: &[u8]| RequestWalker::new(Limits::UNIDENTIFIED).walk(bytes);
    assert_eq!(walk(b"*11\r\n"), Err(RequestError::UnidentifiedArrayLength));
    let long = walk(b"*1\r\n$16385\r\n");
    assert_eq!(long, Err(RequestError::UnidentifiedBulkLength));
    assert_eq!(walk(b"*10\r\n$16384\r\n").map(|_| ()), Ok(()));
}

#[test]
fn a_long_argument_is_told_of_before_it_has_come() {
    let value = vec![b'v'; 100_000];
    let bytes = command(&[
        b"SET".to_vec(),
        b"k".to_vec(),
        value.clone(),
        b"EX".to_vec(),
        b"9".to_vec(),
    ]);
    let mut walker = RequestWalker::new(Limits::SERVER);
    let there = 1000;
    let RequestStep::Long(head) = walker.walk(&bytes[..there]).unwrap() else {
        panic!("it is long")
    };
    assert_eq!((head.index, head.length), (2, 100_000));
    assert_eq!(&bytes[head.header..head.len], b"$100000\r\n");
    let arguments = walker.arguments(&bytes[..there]);
    assert_eq!(owned(&arguments), [b"SET".to_vec(), b"k".to_vec()]);
    assert_eq!((arguments.total(), arguments.complete()), (5, false));

    // Whoever can wait gets it whole.
    let mut patient = walker.clone();
    assert_eq!(
        patient.walk(&bytes),
        Ok(RequestStep::Whole { len: bytes.len() })
    );

    // The others pass it on as it comes.
    let mut tail = walker.into_tail().unwrap();
    let (mut at, mut headers) = (head.len, Vec::new());
    loop {
        let there = (at + 4096).min(bytes.len());
        match tail.step(&bytes[at..there]).unwrap() {
            TailStep::More => panic!("all is there"),
            TailStep::Header { len, index, length } => {
                headers.push((index, length));
                at += len;
            }
            TailStep::Body { len, ends } => {
                at += len;
                if ends {
                    break;
                }
            }
        }
    }
    assert_eq!(at, bytes.len());
    assert_eq!(headers, [(3, 2), (4, 1)]);
    assert_eq!(walker.walk(b""), Ok(RequestStep::More));
}

#[test]
fn a_long_argument_must_end_where_it_says() {
    let mut walker = RequestWalker::new(Limits::SERVER);
    let head = walker.walk(b"*1\r\n$20000\r\nabc").unwrap();
    assert!(matches!(head, RequestStep::Long(_)));
    let tail = walker.into_tail().unwrap();
    let body = [&[b'v'; 20_000][..], b"\r\n"].concat();
    for part in [1, 7, 20_001, 20_002] {
        let mut good = tail.clone();
        let ended = body
            .chunks(part)
            .map(|part| good.step(part).unwrap())
            .last();
        assert!(matches!(ended, Some(TailStep::Body { ends: true, .. })));
        for end in [&b"\rx"[..], b"x\n", b"xx"] {
            let body = [&[b'v'; 20_000][..], end].concat();
            let mut bad = tail.clone();
            let wrong = body.chunks(part).any(|part| bad.step(part).is_err());
            assert!(wrong, "{end:?} in parts of {part}");
        }
    }
}

proptest! {
    #[test]
    fn any_parts_make_the_same_commands(
        commands in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6), 0..8),
        parts in proptest::collection::vec(1_usize..30, 1..8),
    ) {
        let bytes: Vec<u8> = commands.iter().flat_map(|each| command(each)).collect();
        prop_assert_eq!(walked(&bytes, &parts).unwrap(), commands);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in "[*$+0-9a\r\n\"' -]{0,40}", parts in proptest::collection::vec(1_usize..9, 1..4)) {
        let whole = walked(bytes.as_bytes(), &[bytes.len().max(1)]);
        let parted = walked(bytes.as_bytes(), &parts);
        // An error ends the connection; what was before it may have been seen or not.
        prop_assert_eq!(whole, parted);
    }
}

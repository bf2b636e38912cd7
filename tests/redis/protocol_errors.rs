//! What breaks the protocol breaks it alike for the sidecar and for the server, and in the same words.

use bulkhead_sidecar::protocol::redis::codec::{Limits, RequestStep, RequestWalker};
use bulkhead_tests::redis::{Reply, Server};

#[test]
fn the_server_says_the_same() {
    let server = Server::own();
    for bytes in [
        "*x\r\n",
        "*01\r\n",
        "*1\r\n:3\r\n",
        "*1\r\n$x\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$536870913\r\n",
        "get \"k\r\n",
        "get 'k'x\r\n",
    ] {
        let ours = RequestWalker::new(Limits::SERVER)
            .walk(bytes.as_bytes())
            .unwrap_err();
        let mut connection = server.connect();
        connection.try_send(bytes.as_bytes()).unwrap();
        let raw = connection.try_read().unwrap();
        let theirs = Reply::parse(&raw).unwrap().0.text();
        assert_eq!(format!("ERR {ours}"), theirs, "{bytes:?}");
    }
}

#[test]
fn the_server_splits_inline_commands_alike() {
    let server = Server::own();
    for line in [
        "ECHO word",
        "ECHO \"a b\"",
        "ECHO \"\\x41\\n\\q\\\"\"",
        "ECHO 'it\\'s'",
        "  ECHO\tpre\"fixed word\"  ",
        "ECHO \"\"",
        "echo \"\\xZZ\"",
        "ECHO a\x0bb",
        "ECHO \x0bb",
    ] {
        let bytes = format!("{line}\r\n").into_bytes();
        let mut walker = RequestWalker::new(Limits::SERVER);
        assert_eq!(
            walker.walk(&bytes),
            Ok(RequestStep::Whole { len: bytes.len() })
        );
        let ours = walker.arguments(&bytes).get(1).unwrap().to_vec();
        let mut connection = server.connect();
        connection.try_send(&bytes).unwrap();
        let raw = connection.try_read().unwrap();
        assert_eq!(
            Reply::parse(&raw).unwrap().0,
            Reply::Bytes(ours),
            "{line:?}"
        );
    }
}

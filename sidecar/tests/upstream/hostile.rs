//! Servers that send nonsense, too much, nothing, or the wrong proof, at every step of the start-up.

use std::time::{Duration, Instant};

use bulkhead_crds::kinds::TlsMode;
use bulkhead_sidecar::upstream::{ConnectError, Stage};

use crate::support::Entry;
use crate::support::fake::{Do, Fake, auth, auth_ok, message, ready};

/// What comes of a server that reads the startup message and then follows `script`.
async fn told(script: Vec<Do>) -> (ConnectError, String) {
    let script = [vec![Do::ReadStartup], script].concat();
    let fake = Fake::start(script).await;
    let entry = Entry::new("127.0.0.1", fake.port).credentials("app", "correct horse");
    let (error, text) = entry.refusal("app").await;
    assert!(!text.contains("correct horse"), "{text}");
    (error, text)
}

fn write(parts: &[Vec<u8>]) -> Do {
    Do::Write(parts.concat())
}

#[tokio::test]
async fn nonsense_is_a_protocol_error_at_every_step() {
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (
            vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()],
            "'H' claims",
        ),
        (vec![vec![0; 64]], "less than its own length"),
        (vec![vec![0xff; 64]], "at most"),
        (
            vec![message(b'D', b"row")],
            "before authentication was over",
        ),
        (vec![ready()], "before authentication was over"),
        (vec![message(b'E', b"Sno end")], "malformed"),
        (
            vec![message(b'v', &[0, 3, 0, 2, 0, 0, 0, 0])],
            "another protocol version",
        ),
        (vec![message(b'v', &[0, 3, 0, 0, 0, 0, 0, 9])], "malformed"),
        (
            vec![message(b'v', b"\0\x03\0\0\0\0\0\x01_pq_.x\0")],
            "not asked for",
        ),
        (vec![auth_ok(), auth_ok()], "before ReadyForQuery"),
        (
            vec![auth_ok(), message(b'S', b"name\0value")],
            "ParameterStatus is malformed",
        ),
        (
            vec![auth_ok(), message(b'S', b"name\0value\0x")],
            "ParameterStatus is malformed",
        ),
        (vec![auth_ok(), message(b'K', &[0; 7])], "impossible length"),
        (
            vec![auth_ok(), message(b'K', &[0; 261])],
            "impossible length",
        ),
        (vec![auth_ok(), message(b'Z', b"T")], "not idle"),
        (vec![auth_ok(), message(b'Z', b"")], "not idle"),
        (vec![auth_ok(), message(b'N', b"M")], "malformed"),
    ];
    for (answers, reason) in cases {
        let (error, text) = told(vec![write(&answers), Do::Hang]).await;
        assert!(
            matches!(error, ConnectError::Protocol { lost: false, .. }),
            "{text}"
        );
        assert!(text.contains(reason), "{text} lacks {reason:?}");
    }
}

#[tokio::test]
async fn hanging_up_is_told_as_such_at_every_step() {
    let sasl = auth(10, b"SCRAM-SHA-256\0\0");
    for script in [
        vec![],
        vec![write(&[b"R\0\0".to_vec()])],
        vec![write(std::slice::from_ref(&sasl))],
        vec![write(&[sasl]), Do::ReadMessage],
        vec![write(&[auth_ok()])],
        vec![write(&[auth_ok(), message(b'K', &[0; 8])])],
    ] {
        let (error, text) = told(script).await;
        assert!(
            matches!(error, ConnectError::Protocol { lost: true, .. }),
            "{text}"
        );
    }
}

#[tokio::test]
async fn silence_meets_the_deadline_and_names_the_stage() {
    let silent = Fake::start(vec![Do::Hang]).await;
    let plain = Entry::new("127.0.0.1", silent.port);
    let tls = Entry::new("127.0.0.1", silent.port).tls(TlsMode::Require, None);
    for (entry, expected) in [(plain, Stage::Authenticate), (tls, Stage::Tls)] {
        let entry = entry.timeout(Duration::from_millis(200));
        let start = Instant::now();
        let (error, text) = entry.refusal("app").await;
        let took = start.elapsed();
        let ConnectError::DeadlineExceeded { stage, elapsed, .. } = error else {
            panic!("{text}");
        };
        assert_eq!(stage, expected);
        // What it tells is from when the dial began, a moment after the deadline was set.
        assert!(took >= Duration::from_millis(200) && elapsed <= took);
        assert!(text.contains("databases[main].timeouts.connect"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_never_stops_talking_is_left() {
    for flood in [
        message(b'N', b"SNOTICE\0Mhello\0\0"),
        message(b'S', b"name\0value\0"),
        message(b'S', &[&b"name\0"[..], &[b'x'; 30_000], b"\0"].concat()),
    ] {
        let (error, text) = told(vec![write(&[auth_ok()]), Do::Flood(flood)]).await;
        assert!(matches!(error, ConnectError::Protocol { .. }), "{text}");
        assert!(text.contains("more than"), "{text}");
    }
}

#[tokio::test]
async fn notices_are_kept_and_do_not_disturb() {
    let notice = message(b'N', b"SWARNING\0Mcollation version mismatch\0\0");
    let negotiated = message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]);
    let up = [
        notice.clone(),
        negotiated,
        auth_ok(),
        notice,
        ready(),
        b"later".to_vec(),
    ]
    .concat();
    let fake = Fake::start(vec![Do::ReadStartup, Do::Write(up), Do::Hang]).await;
    let connection = Entry::new("127.0.0.1", fake.port)
        .connect("app")
        .await
        .unwrap();
    assert_eq!(connection.notices.len(), 2);
    assert!(connection.notices[0].message().contains("collation"));
    assert_eq!(connection.leftover, b"later");
}

#[tokio::test]
async fn authentication_that_proves_nothing_is_refused() {
    let sasl = auth(10, b"SCRAM-SHA-256\0\0");
    let cases: Vec<(Vec<Do>, &str)> = vec![
        // Let in after the offer, before any proof of the server's.
        (
            vec![write(&[sasl.clone(), auth_ok(), ready()])],
            "without having proven",
        ),
        (
            vec![
                write(std::slice::from_ref(&sasl)),
                Do::ReadMessage,
                write(&[auth_ok(), ready()]),
            ],
            "without having proven",
        ),
        // A challenge of another exchange, and one that costs too much.
        (
            vec![
                write(std::slice::from_ref(&sasl)),
                Do::ReadMessage,
                write(&[auth(11, b"r=x,s=AAAA,i=4096")]),
            ],
            "another exchange",
        ),
        (
            vec![
                write(std::slice::from_ref(&sasl)),
                Do::ReadMessage,
                write(&[auth(11, b"r=x,s=AAAA,i=4000000000")]),
            ],
            "4000000000",
        ),
        // Methods in the wrong order, or twice.
        (
            vec![write(&[auth(11, b"r=x,s=AAAA,i=4096")])],
            "out of turn",
        ),
        (vec![write(&[auth(12, b"v=AAAA")])], "out of turn"),
        (
            vec![write(&[sasl.clone(), auth(5, b"salt")])],
            "out of turn",
        ),
        (vec![write(&[sasl.clone(), sasl])], "out of turn"),
        (
            vec![write(&[auth(5, b"salt"), auth(5, b"salt")])],
            "out of turn",
        ),
        // Cut.
        (vec![write(&[message(b'R', &[0, 0])])], "is cut"),
        (vec![write(&[auth(5, b"sal")])], "no salt"),
        (vec![write(&[auth(10, b"SCRAM-SHA-256\0")])], "is cut"),
        // Not spoken here.
        (vec![write(&[auth(3, b"")])], "upstream.tls.mode"),
        (vec![write(&[auth(7, b"")])], "GSSAPI"),
        (vec![write(&[auth(9, b"")])], "SSPI"),
        (vec![write(&[auth(99, b"")])], "unknown method"),
        (vec![write(&[auth(10, b"OAUTHBEARER\0\0")])], "OAUTHBEARER"),
        (
            vec![write(&[auth(10, b"SCRAM-SHA-256-PLUS\0\0")])],
            "speaks none",
        ),
    ];
    for (script, reason) in cases {
        let (error, text) = told([script, vec![Do::Hang]].concat()).await;
        assert!(
            matches!(error, ConnectError::Authentication { .. }),
            "{text}"
        );
        assert!(text.contains(reason), "{text} lacks {reason:?}");
    }
}

#[tokio::test]
async fn a_server_with_the_wrong_scram_signature_is_found_out() {
    let (error, text) = told(vec![Do::ForgeScram, Do::Hang]).await;
    assert!(
        matches!(error, ConnectError::Authentication { .. }),
        "{text}"
    );
    assert!(
        text.contains("did not prove that it knows the password"),
        "{text}"
    );
}

#[test]
fn a_connection_under_way_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    let entry = Entry::new("127.0.0.1", 1);
    is_shared(&entry.connector());
    is_send(&entry.connect("app"));
}

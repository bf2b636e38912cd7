//! Bytes that no honest client sends, in every phase. The culprit is closed; nobody else notices.

use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{V3_0, Wire, send};

/// A deterministic stream of bytes that mean nothing.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

/// Waits until the sidecar has closed the connection; whatever it says before must be an error, never a login.
async fn closed(wire: &mut Wire, why: &str) {
    wire.finish_sending().await;
    let mut said = Vec::new();
    while let Some(byte) = wire.byte().await {
        said.push(byte);
    }
    assert!(
        said.first()
            .is_none_or(|first| matches!(first, b'E' | b'N' | b'v')),
        "{why}: {said:?}"
    );
}

async fn unharmed(stage: &mut Stage, witness: &Session) {
    assert_eq!(
        witness.text("SELECT 'unharmed'").await.as_deref(),
        Some("unharmed")
    );
    assert_eq!(
        stage
            .user("newcomer")
            .await
            .text("SELECT 1")
            .await
            .as_deref(),
        Some("1")
    );
    assert!(stage.sidecar.runs());
}

#[tokio::test]
async fn garbage_before_the_login_closes_that_connection_alone() {
    let mut stage = Stage::start(Policy::trusted()).await;
    let witness = stage.user("witness").await;
    witness.run("BEGIN; SELECT 1").await;
    let login = [
        ("user", "chat_app+mallory"),
        ("database", stage.database.as_str()),
    ];
    let startup = send::startup(V3_0, &login);
    let mut unterminated = startup.clone();
    unterminated.pop();
    let length = u32::try_from(unterminated.len()).unwrap();
    unterminated[..4].copy_from_slice(&length.to_be_bytes());
    let body_of =
        |parameters: &[u8]| send::untyped(&[&V3_0.to_be_bytes()[..], parameters].concat());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing at all", vec![]),
        ("half a length", vec![0, 0]),
        ("a length of nothing", vec![0, 0, 0, 0]),
        ("a length shorter than itself", vec![0, 0, 0, 3, 0, 3, 0, 0]),
        ("a length without a body", vec![0, 0, 0, 4]),
        ("a length of 4 GiB", vec![0xff; 16]),
        (
            "a length of 2 GiB",
            [&[0x7f, 0xff, 0xff, 0xff][..], &V3_0.to_be_bytes()].concat(),
        ),
        (
            "a startup over the bound",
            [&[0, 1, 0, 0][..], &V3_0.to_be_bytes(), &[b'a'; 70_000]].concat(),
        ),
        ("version 2", send::startup(2 << 16, &login)),
        ("version 4", send::startup(4 << 16, &login)),
        ("version 0", send::startup(0, &login)),
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
        (
            "a TLS hello where there is no TLS",
            [&[0x16, 3, 1, 2, 0, 1][..], &noise(7, 517)].concat(),
        ),
        ("no terminator", unterminated),
        ("no parameters", body_of(&[])),
        ("an empty list of parameters", body_of(&[0])),
        ("a name without a value", body_of(b"user\0")),
        ("no user", body_of(b"database\0chat\0\0")),
        (
            "bytes behind the terminator",
            body_of(b"user\0chat_app+m\0\0more\0"),
        ),
        (
            "a user that is not UTF-8",
            body_of(b"user\0\xff\xfe+\x80\0\0"),
        ),
        (
            "options that end in a backslash",
            send::startup(
                V3_0,
                &[("user", "chat_app+m"), ("options", "-c bulkhead.user=\\")],
            ),
        ),
        (
            "options without a value",
            send::startup(V3_0, &[("user", "chat_app"), ("options", "-c")]),
        ),
        (
            "options of nothing but dashes",
            send::startup(V3_0, &[("user", "chat_app"), ("options", "--- -- -")]),
        ),
        ("SSLRequest twice", send::ssl_request().repeat(2)),
        ("GSSENCRequest twice", send::gssenc_request().repeat(2)),
        (
            "a cancel without a key",
            send::untyped(&80_877_102_u32.to_be_bytes()),
        ),
        (
            "a cancel with half a pid",
            send::untyped(&[&80_877_102_u32.to_be_bytes()[..], &[1, 2]].concat()),
        ),
        (
            "a cancel with a key of 300 bytes",
            send::cancel(1, &[7; 300]),
        ),
        ("a query instead of a login", send::query("SELECT 1")),
    ];
    for (why, bytes) in cases {
        let mut wire = stage.wire().await;
        let _ = wire.try_send(&bytes).await;
        closed(&mut wire, why).await;
    }
    for seed in 0..200 {
        let mut wire = stage.wire().await;
        let _ = wire
            .try_send(noise(seed, 1 + usize::try_from(seed).unwrap() * 3))
            .await;
        closed(&mut wire, "noise").await;
    }
    witness.run("COMMIT").await;
    unharmed(&mut stage, &witness).await;
}

#[tokio::test]
async fn a_malformed_message_after_the_login_gets_a_protocol_error_and_closes_that_client() {
    let mut stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let witness = stage.user("witness").await;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("an unknown type", send::message(b'!', b"x")),
        ("a zero type", send::message(0, b"")),
        ("a server's type", send::message(b'Z', b"I")),
        (
            "a second startup",
            send::startup(V3_0, &[("user", "chat_app+bob")]),
        ),
        ("a length shorter than itself", vec![b'Q', 0, 0, 0, 3]),
        ("a negative length", vec![b'Q', 0xff, 0xff, 0xff, 0xff]),
        (
            "a length beyond every bound",
            vec![b'Q', 0x7f, 0xff, 0xff, 0xff],
        ),
        (
            "a Sync with a body of 2 GiB",
            vec![b'S', 0x7f, 0xff, 0xff, 0xff],
        ),
        (
            "a password that nobody asked for",
            send::message(b'p', b"hunter2\0"),
        ),
        ("a Parse without a terminator", send::message(b'P', b"name")),
        (
            "a Bind without a terminator",
            send::message(b'B', b"portal"),
        ),
        (
            "a Describe of neither statement nor portal",
            send::message(b'D', b"Xname\0"),
        ),
        (
            "a Close of neither statement nor portal",
            send::message(b'C', b"Xname\0"),
        ),
        ("an empty Describe", send::message(b'D', b"")),
        ("an empty Close", send::message(b'C', b"")),
        ("an empty Parse", send::message(b'P', b"")),
        ("an empty Query", send::message(b'Q', b"")),
    ];
    for (why, bytes) in cases {
        let mut wire = stage.wire_of("mallory").await;
        let _ = wire.try_send([bytes, send::sync()].concat()).await;
        wire.finish_sending().await;
        // Some of these the server itself refuses and goes on; then the end of the connection ends it.
        let mut refused = false;
        while let Some(message) = wire.receive().await {
            if message.tag == b'E' {
                refused = true;
            }
            assert_ne!(message.tag, b'D', "{why}: an answer to nonsense");
        }
        assert!(refused, "{why} was not refused");
    }
    unharmed(&mut stage, &witness).await;
    // Nothing of it keeps a server connection.
    wait::until("the servers to be idle", || async {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND state <> 'idle' AND usename <> 'postgres'";
        admin.text(busy).await.as_deref() == Some("0")
    })
    .await;
}

#[tokio::test]
async fn an_unknown_type_is_a_protocol_violation() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("mallory").await;
    wire.send(send::message(b'!', b"x")).await;
    let end = wire.until_closed().await;
    assert_eq!(end.refusal().code, "08P01", "{end:?}");
    assert_eq!(end.refusal().severity, "FATAL");
}

#[tokio::test]
async fn noise_after_the_login_closes_that_client_and_leaks_nothing() {
    let mut stage = Stage::start(Policy::trusted()).await;
    let witness = stage.user("witness").await;
    for seed in 0..60 {
        let mut wire = stage.wire_of(&format!("mallory{seed}")).await;
        let _ = wire.try_send(noise(seed + 1000, 400)).await;
        wire.finish_sending().await;
        while wire.byte().await.is_some() {}
    }
    unharmed(&mut stage, &witness).await;
}

#[tokio::test]
async fn garbage_inside_a_transaction_rolls_it_back() {
    let mut stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let witness = stage.user("witness").await;
    let mut wire = stage.wire_of("mallory").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO things VALUES (777, 'half')").await;
    let _ = wire.try_send(send::message(b'!', b"x")).await;
    wire.until_closed().await;
    wait::until("the rollback", || async {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND state LIKE 'idle in transaction%'";
        admin.text(open).await.as_deref() == Some("0")
    })
    .await;
    assert_eq!(
        admin
            .text("SELECT count(*) FROM things WHERE id = 777")
            .await
            .as_deref(),
        Some("0")
    );
    unharmed(&mut stage, &witness).await;
}

#[tokio::test]
async fn garbage_inside_a_copy_ends_the_copy_without_a_row() {
    let mut stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let witness = stage.user("witness").await;
    for bytes in [
        send::message(b'!', b"x"),
        send::query("SELECT 1"),
        vec![b'd', 0, 0, 0, 1],
    ] {
        let mut wire = stage.wire_of("mallory").await;
        wire.send(send::query("COPY things FROM STDIN")).await;
        wire.until(b'G').await;
        wire.send(send::copy_data(b"778\thalf\n")).await;
        let _ = wire.try_send(bytes).await;
        wire.finish_sending().await;
        while wire.receive().await.is_some() {}
    }
    assert_eq!(
        admin
            .text("SELECT count(*) FROM things WHERE id = 778")
            .await
            .as_deref(),
        Some("0")
    );
    unharmed(&mut stage, &witness).await;
}

#[tokio::test]
async fn a_message_cut_off_in_the_middle_is_not_executed() {
    let mut stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    let witness = stage.user("witness").await;
    let whole = send::query("INSERT INTO things VALUES (779, 'half')");
    for cut in [1, 4, 5, 6, whole.len() - 1] {
        let mut wire = stage.wire_of("mallory").await;
        wire.send(&whole[..cut]).await;
        wire.finish_sending().await;
        while wire.receive().await.is_some() {}
    }
    assert_eq!(
        admin
            .text("SELECT count(*) FROM things WHERE id = 779")
            .await
            .as_deref(),
        Some("0")
    );
    unharmed(&mut stage, &witness).await;
}

#[tokio::test]
async fn bytes_that_trickle_are_as_good_as_bytes_that_come_at_once() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire().await;
    let startup = send::startup(
        V3_0,
        &[("user", "chat_app+slow"), ("database", &stage.database)],
    );
    for byte in startup {
        wire.send([byte]).await;
    }
    wire.until_ready().await;
    for byte in [send::run_unnamed("SELECT 'slow'"), send::sync()].concat() {
        wire.send([byte]).await;
    }
    assert_eq!(wire.until_ready().await.value().as_deref(), Some("slow"));
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_keep_others_out() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut mute = Vec::new();
    for _ in 0..100 {
        mute.push(stage.wire().await);
    }
    assert_eq!(
        stage.user("alice").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
    // Half a message holds no server connection either.
    let mut half = stage.wire_of("bob").await;
    half.send([b'Q', 0, 0, 0, 50, b'S']).await;
    assert!(!half.says_something(Duration::from_millis(20)).await);
    assert_eq!(
        stage.user("alice").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
}

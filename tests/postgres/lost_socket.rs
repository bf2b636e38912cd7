//! A chat's database work belongs to the socket that it was opened for, and `isolation.onDisconnect` says what becomes of it when the
//! socket is lost.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A chat's back end: it takes WebSockets, and keeps the context token that comes with each.
pub(crate) struct Application {
    listener: TcpListener,
    /// Where clients reach it, through the sidecar.
    port: u16,
}

/// A WebSocket, seen from both ends.
pub(crate) struct Socket {
    pub(crate) client: TcpStream,
    _application: TcpStream,
    /// The context token that the application was given.
    pub(crate) token: String,
}

impl Application {
    pub(crate) async fn start(policy: Policy) -> (Self, Setting<'static>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free_port();
        let upstream = listener.local_addr().unwrap().port();
        let policy = policy.spec(&format!(
            "webSockets: [{{name: chat, listen: {{port: {port}}}, upstream: {{port: {upstream}}}}}]"
        ));
        (Self { listener, port }, Stage::with(policy))
    }

    /// Opens a WebSocket as whoever `bearer` says.
    pub(crate) async fn open(&self, bearer: &str) -> Socket {
        let mut client = self.ask(bearer).await;
        let accepted = wait::within("the upgrade", self.listener.accept()).await;
        let (mut application, _) = accepted.unwrap();
        let asked = head(&mut application).await;
        let key = header(&asked, "sec-websocket-key").unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            accept_of(&key)
        );
        application.write_all(answer.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Socket {
            client,
            _application: application,
            token: header(&asked, "x-bulkhead-context").unwrap(),
        }
    }
}

impl Application {
    /// Asks for a WebSocket as whoever `bearer` says.
    async fn ask(&self, bearer: &str) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: chat.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {bearer}\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// The answer to somebody who is not let in: its first line, and what it says.
    pub(crate) async fn refusal(&self, bearer: &str) -> (String, String) {
        let mut client = self.ask(bearer).await;
        let answer = head(&mut client).await;
        let length = header(&answer, "content-length").unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        client.read_exact(&mut body).await.unwrap();
        let status = answer.lines().next().unwrap_or_default().to_owned();
        (status, String::from_utf8(body).unwrap())
    }
}

/// A message's head, to the empty line.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(wait::within("a head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut named = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.trim().to_owned())
}

/// RFC 6455, section 4.2.2.
fn accept_of(key: &str) -> String {
    let both = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, both.as_bytes()))
}

/// A connection to the database, opened with a context token.
pub(crate) async fn work(stage: &Stage, token: &str) -> Wire {
    let mut wire = stage.wire().await;
    let options = format!("-c bulkhead.context={token}");
    wire.login(&[
        ("user", bulkhead_tests::postgres::APP_ROLE),
        ("database", &stage.database),
        ("options", &options),
    ])
    .await
    .unwrap_or_else(|refusal| panic!("it is not let in: {refusal:?}"));
    wire
}

/// What the client is told at the end of its connection.
pub(crate) async fn last_word(wire: &mut Wire) -> Refusal {
    let replies = wire.until_closed().await;
    replies.refusal()
}

fn on_disconnect(how: &str) -> Policy {
    Policy::trusted().spec(&format!("isolation: {{onDisconnect: {how}}}"))
}

#[tokio::test]
async fn a_lost_sockets_work_is_cancelled_and_rolled_back() {
    for policy in [Policy::trusted(), Policy::trusted().in_session_mode()] {
        let (application, setting) = Application::start(policy).await;
        let stage = setting.start().await;
        let admin = stage.admin().await;
        // Given two sockets of one user, each with work that has written something and is in the middle of it,
        let (lost, kept) = (
            application.open("alice").await,
            application.open("alice").await,
        );
        let mut works = Vec::new();
        for (id, socket) in [(1001, &lost), (1002, &kept)] {
            let mut wire = work(&stage, &socket.token).await;
            wire.query("BEGIN").await;
            wire.query(&format!("INSERT INTO things VALUES ({id}, 'x')"))
                .await;
            wire.send(send::query("SELECT pg_sleep(30)")).await;
            works.push(wire);
        }
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                      AND query LIKE 'SELECT pg_sleep%'";
        wait::until("both to be asleep", || async {
            admin.text(asleep).await.as_deref() == Some("2")
        })
        .await;
        // when the client of one goes,
        drop(lost.client);
        // then its work is told why, cancelled and rolled back, and the other's is not.
        let refusal = last_word(&mut works[0]).await;
        assert_eq!(
            (refusal.severity.as_str(), refusal.code.as_str()),
            ("FATAL", "57P01")
        );
        assert!(
            refusal.message.contains("isolation.onDisconnect = Cancel"),
            "{refusal:?}"
        );
        wait::until("one to be asleep", || async {
            admin.text(asleep).await.as_deref() == Some("1")
        })
        .await;
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL \
                    AND pid <> pg_backend_pid()";
        wait::until("one transaction to be open", || async {
            admin.text(open).await.as_deref() == Some("1")
        })
        .await;
        let written = admin
            .text("SELECT count(*) FROM things WHERE id > 1000")
            .await;
        assert_eq!(written.as_deref(), Some("0"));
        drop(kept.client);
        assert_eq!(last_word(&mut works[1]).await.code, "57P01");
    }
}

#[tokio::test]
async fn drain_lets_the_transaction_finish_and_keep_leaves_the_connection() {
    let (application, setting) = Application::start(on_disconnect("Drain")).await;
    let stage = setting.start().await;
    let socket = application.open("alice").await;
    let mut wire = work(&stage, &socket.token).await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO things VALUES (1001, 'x')").await;
    drop(socket.client);
    stage
        .until_metric("bulkhead_websocket_closes_total", &[], 1.0)
        .await;
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
    wire.send(send::query("COMMIT")).await;
    let refusal = last_word(&mut wire).await;
    assert!(
        refusal.message.contains("isolation.onDisconnect = Drain"),
        "{refusal:?}"
    );
    let admin = stage.admin().await;
    let written = admin
        .text("SELECT count(*) FROM things WHERE id > 1000")
        .await;
    assert_eq!(written.as_deref(), Some("1"));

    let (application, setting) = Application::start(on_disconnect("Keep")).await;
    let stage = setting.start().await;
    let socket = application.open("alice").await;
    let mut wire = work(&stage, &socket.token).await;
    drop(socket.client);
    stage
        .until_metric("bulkhead_websocket_closes_total", &[], 1.0)
        .await;
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_context_token_is_good_as_long_as_its_socket() {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let jwt = "{audiences: [chat], leeway: 0s, jwks: {secretRef: {name: keys}}}";
    let (application, setting) = Application::start(Policy::jwt(jwt)).await;
    let stage = setting
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    // Given a socket whose user's own token has ended,
    let claims = json!({"sub": "alice", "aud": "chat", "exp": seconds_from_now(3)});
    let own = signer.sign(&claims);
    let socket = application.open(&own).await;
    let mut early = work(&stage, &socket.token).await;
    let with = |token: &str| format!("-c bulkhead.context={token}");
    wait::until("the user's own token to end", || async {
        stage.try_options(&with(&own)).await.is_err()
    })
    .await;
    // its work goes on and begins,
    assert_eq!(early.query("SELECT 1").await.value().as_deref(), Some("1"));
    let mut late = work(&stage, &socket.token).await;
    assert_eq!(late.query("SELECT 1").await.value().as_deref(), Some("1"));
    // until the socket has ended.
    drop(socket.client);
    for wire in [&mut early, &mut late] {
        assert_eq!(last_word(wire).await.code, "57P01");
    }
    let Err(refusal) = stage.try_options(&with(&socket.token)).await else {
        panic!("a token outlives its socket");
    };
    assert_eq!(Refusal::from(refusal).code, "28000");
}

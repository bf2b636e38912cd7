//! Sessions that survive their connection.

use super::super::super::resume::message::{PREFIX, write_ack};
use super::super::super::resume::{LostReason, SessionToken};
use super::*;
use crate::identity::Presented;
use crate::worker::{Claim, Lost, Returned};

/// What a client is told first, and the token that it may come back with.
pub(super) struct Greeting {
    pub(super) state: u8,
    pub(super) count: u64,
    pub(super) token: SessionToken,
}

pub(super) fn stage_resuming(says: &str) -> Stage {
    let text = POLICY
        .replace("SLOW", "Wait")
        .replace("messagesPerSecond: 10", "messagesPerSecond: 1000");
    let resumes = Resumes {
        protocol: "bulkhead.resume.v1".to_owned(),
        lost: None,
    };
    stage_with(&format!("{text}    resume: {says}\n"), Some(resumes))
}

fn alice() -> UserId {
    UserId::parse("alice").unwrap()
}

/// The next message of the sidecar's: its kind, and what stands behind that.
pub(super) async fn told(stream: &mut UnixStream) -> (u8, Vec<u8>) {
    let (opcode, payload) = next(stream).await;
    assert_eq!(opcode, Opcode::Binary, "{payload:?}");
    let rest = payload.strip_prefix(&PREFIX).unwrap();
    (rest[0], rest[1..].to_vec())
}

pub(super) fn ack(count: u64) -> Vec<u8> {
    let mut message = Vec::new();
    write_ack(&mut message, count);
    frame(0x82, true, &message)
}

impl Stage {
    pub(super) async fn greeted(&mut self) -> Greeting {
        let (kind, body) = told(&mut self.client).await;
        assert_eq!(kind, 1);
        let token = std::str::from_utf8(&body[18..]).unwrap();
        Greeting {
            state: body[0],
            count: u64::from_be_bytes(body[10..18].try_into().unwrap()),
            token: self.entry.force().sealer.open(token).unwrap(),
        }
    }

    pub(super) fn claim(&self, token: &SessionToken) -> Result<String, Lost> {
        self.worker.claim(&Claim {
            entry: "chat".into(),
            session: token.session,
            generation: token.generation,
            user: alice(),
            patience: Duration::from_secs(5),
        })
    }

    /// The client comes back on another connection, with `count` of the application's messages.
    pub(super) async fn come_back(&mut self, token: &SessionToken, count: u64) -> Greeting {
        self.arrive_again(token, count).await;
        self.greeted().await
    }

    pub(super) async fn arrive_again(&mut self, token: &SessionToken, count: u64) {
        self.claim(token).unwrap();
        let presented = Presented {
            token: None,
            user: Some("alice"),
        };
        let context = self
            .entry
            .force()
            .verifier
            .verify_live(&presented, &self.worker.process.live)
            .await;
        let (client, stream) = UnixStream::pair().unwrap();
        self.client = client;
        self.worker.take_returned(Box::new(Returned {
            session: token.session,
            context: context.unwrap(),
            stream: Stream::unix(stream).unwrap(),
            early: bytes::Bytes::new(),
            count,
        }));
    }

    /// Cuts the client's connection, and waits until the session has noticed.
    pub(super) async fn cut(&mut self) {
        let (other, _) = UnixStream::pair().unwrap();
        self.client = other;
        let metrics = Arc::clone(&self.entry.metrics);
        within(async {
            while metrics.resumes.away.get() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub(super) async fn say(&mut self, message: &str) {
        let message = text(false, message);
        self.application.write_all(&message).await.unwrap();
    }

    pub(super) async fn hears(&mut self, expected: &[&str]) {
        for expected in expected {
            let (_, payload) = next(&mut self.client).await;
            assert_eq!(String::from_utf8_lossy(&payload), *expected);
        }
    }

    pub(super) async fn application_hears(&mut self, expected: &[&str]) {
        for expected in expected {
            let (_, payload) = next(&mut self.application).await;
            assert_eq!(String::from_utf8_lossy(&payload), *expected);
        }
    }
}

#[tokio::test(flavor = "local")]
async fn a_client_that_comes_back_misses_nothing_and_the_application_does_not_notice() {
    let mut stage = stage_resuming("{window: 60s}");
    let first = stage.greeted().await;
    assert_eq!((first.state, first.count), (0, 0));
    stage.say("one").await;
    stage.say("two").await;
    stage.hears(&["one", "two"]).await;
    let up = [ack(1), text(true, "a"), frame(0x01, true, b"half")].concat();
    stage.client.write_all(&up).await.unwrap();
    stage.application_hears(&["a"]).await;
    stage.cut().await;
    stage.say("three").await;
    stage
        .application
        .write_all(&frame(0x89, false, b"there?"))
        .await
        .unwrap();
    // The sidecar answers for the client, and the half of a message is not passed on.
    let (opcode, payload) = next(&mut stage.application).await;
    assert_eq!((opcode, payload.as_slice()), (Opcode::Pong, &b"there?"[..]));
    let second = stage.come_back(&first.token, 1).await;
    assert_eq!((second.state, second.count), (1, 1));
    stage.hears(&["two", "three"]).await;
    stage.client.write_all(&text(true, "half")).await.unwrap();
    stage.application_hears(&["half"]).await;
    assert_eq!(stage.entry.metrics.resumes.away.get(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_newer_connection_takes_over_from_one_that_is_still_open() {
    let mut stage = stage_resuming("{window: 60s}");
    let first = stage.greeted().await;
    stage.say("one").await;
    stage.hears(&["one"]).await;
    let mut old = std::mem::replace(&mut stage.client, UnixStream::pair().unwrap().0);
    // What was sent on the old one and is whole has been taken.
    old.write_all(&text(true, "a")).await.unwrap();
    stage.application_hears(&["a"]).await;
    let second = stage.come_back(&first.token, 1).await;
    assert_eq!((second.state, second.count), (1, 1));
    assert_eq!(closed(&mut old).await.0, 1001);
    // The old token is good until the client has acknowledged under the new one.
    assert!(stage.claim(&first.token).is_ok());
    stage.client.write_all(&ack(1)).await.unwrap();
    stage.client.write_all(&text(true, "b")).await.unwrap();
    stage.application_hears(&["b"]).await;
    assert_eq!(stage.claim(&first.token), Err(Lost::UNKNOWN));
    assert!(stage.claim(&second.token).is_ok());
}

#[tokio::test(flavor = "local")]
async fn what_begins_as_control_messages_do_is_escaped_both_ways() {
    let mut stage = stage_resuming("{window: 60s}");
    stage.greeted().await;
    let data: &[u8] = b"\xF5bk1\x02data";
    stage
        .application
        .write_all(&frame(0x82, false, data))
        .await
        .unwrap();
    // In fragments too, whatever the size of the first.
    let parts = [
        frame(0x02, false, b""),
        frame(0x00, false, b"\xF5"),
        frame(0x80, false, b"x"),
        frame(0x82, false, b"plain"),
    ];
    stage.application.write_all(&parts.concat()).await.unwrap();
    let escaped = [&PREFIX[..], data].concat();
    assert_eq!(
        next(&mut stage.client).await,
        (Opcode::Binary, escaped.clone())
    );
    assert_eq!(next(&mut stage.client).await, (Opcode::Binary, Vec::new()));
    let first = [&PREFIX[..], b"\xF5"].concat();
    assert_eq!(next(&mut stage.client).await, (Opcode::Continuation, first));
    stage.hears(&["x", "plain"]).await;
    let (front, back) = escaped.split_at(6);
    let up = [
        frame(0x82, true, &escaped),
        frame(0x02, true, front),
        frame(0x89, true, b"between"),
        frame(0x80, true, back),
        frame(0x82, true, b"plain"),
    ];
    stage.client.write_all(&up.concat()).await.unwrap();
    let expected = [
        (Opcode::Binary, data.to_vec()),
        (Opcode::Ping, b"between".to_vec()),
        (Opcode::Binary, data.to_vec()),
        (Opcode::Binary, b"plain".to_vec()),
    ];
    for expected in expected {
        assert_eq!(next(&mut stage.application).await, expected);
    }
}

#[tokio::test(flavor = "local")]
async fn a_client_is_told_now_and_then_what_has_arrived() {
    let mut stage = stage_resuming("{window: 60s}");
    stage.greeted().await;
    for _ in 0..32 {
        stage.client.write_all(&text(true, "m")).await.unwrap();
        stage.application_hears(&["m"]).await;
    }
    assert_eq!(
        told(&mut stage.client).await,
        (2, 32u64.to_be_bytes().to_vec())
    );
    stage.client.write_all(&text(true, "m")).await.unwrap();
    // One message alone is acknowledged after a second.
    assert_eq!(
        told(&mut stage.client).await,
        (2, 33u64.to_be_bytes().to_vec())
    );
}

#[tokio::test(flavor = "local")]
async fn a_client_that_acknowledges_what_it_was_not_sent_is_told() {
    let mut stage = stage_resuming("{window: 60s}");
    stage.greeted().await;
    stage.client.write_all(&ack(1)).await.unwrap();
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 1002);
    assert!(reason.contains("bulkhead.resume.v1"), "{reason}");
}

#[tokio::test(flavor = "local")]
async fn a_client_that_does_not_come_back_is_gone_when_the_window_is_over() {
    let mut stage = stage_resuming("{window: 100ms}");
    let first = stage.greeted().await;
    stage.cut().await;
    assert!(Stage::end_of(&mut stage.application).await.is_empty());
    within(&mut stage.session).await.unwrap();
    assert!(stage.is_left());
    assert_eq!(stage.claim(&first.token), Err(Lost::UNKNOWN));
    assert_eq!(stage.entry.metrics.resumes.away.get(), 0);
}

#[tokio::test(flavor = "local")]
async fn an_application_that_ends_ends_the_session_and_the_client_learns_it() {
    let mut stage = stage_resuming("{window: 60s}");
    let first = stage.greeted().await;
    stage.client.write_all(&text(true, "a")).await.unwrap();
    stage.application_hears(&["a"]).await;
    stage.cut().await;
    stage.application = UnixStream::pair().unwrap().0;
    within(&mut stage.session).await.unwrap();
    let lost = stage.claim(&first.token).unwrap_err();
    assert_eq!(
        (lost.reason, lost.written),
        (LostReason::Application, Some(1))
    );
    assert!(stage.is_left());
}

#[tokio::test(flavor = "local")]
async fn more_than_is_kept_ends_a_session_whose_client_is_away() {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Ki}");
    let first = stage.greeted().await;
    stage.cut().await;
    for _ in 0..5 {
        stage.say(&"x".repeat(1000)).await;
    }
    let (code, reason) = closed(&mut stage.application).await;
    assert_eq!(code, 1001);
    assert!(
        reason.is_empty() || reason.contains("resume.buffer"),
        "{reason}"
    );
    within(&mut stage.session).await.unwrap();
    assert_eq!(
        stage.claim(&first.token).unwrap_err().reason,
        LostReason::Buffer
    );
    assert_eq!(stage.worker.process.resume_bytes(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_message_that_is_too_large_to_keep_goes_through_and_the_client_is_told_before() {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Ki}");
    let first = stage.greeted().await;
    let large = "y".repeat(60_000);
    stage.say("small").await;
    stage.hears(&["small"]).await;
    let (message, after) = (text(false, &large), text(false, "after"));
    let (mut application, client) = (stage.application, &mut stage.client);
    let writing = spawn_local(async move {
        application.write_all(&message).await.unwrap();
        application.write_all(&after).await.unwrap();
        application
    });
    assert_eq!(told(client).await, (3, vec![1]));
    assert_eq!(next(client).await.1, large.as_bytes());
    assert_eq!(next(client).await.1, b"after");
    stage.application = within(writing).await.unwrap();
    assert_eq!(stage.worker.process.resume_bytes(), 0);
    assert_eq!(
        stage.claim(&first.token).unwrap_err().reason,
        LostReason::Buffer
    );
    // The loss of the connection is the end from here on.
    stage.client = UnixStream::pair().unwrap().0;
    within(&mut stage.session).await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn the_application_waits_for_a_client_that_does_not_acknowledge() {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Ki}");
    stage.greeted().await;
    let large = "z".repeat(1500);
    for _ in 0..3 {
        stage.say(&large).await;
    }
    stage.hears(&[&large, &large]).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), stage.client.read(&mut byte)).await;
    assert!(early.is_err(), "the third has no room");
    stage.client.write_all(&ack(2)).await.unwrap();
    stage.hears(&[&large]).await;
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_answers_no_ping_is_away_and_may_come_back() {
    let mut stage = stage_resuming("{window: 60s}");
    let first = stage.greeted().await;
    assert_eq!(next(&mut stage.client).await.0, Opcode::Ping);
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 3008);
    assert!(reason.contains("timeouts.pong = 5s"), "{reason}");
    assert!(Stage::end_of(&mut stage.client).await.is_empty());
    assert_eq!(stage.entry.metrics.resumes.away.get(), 1);
    let second = stage.come_back(&first.token, 0).await;
    assert_eq!(second.state, 1);
    assert_eq!(next(&mut stage.client).await.0, Opcode::Ping);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_takes_nothing_is_away_and_misses_nothing() {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Mi}");
    let first = stage.greeted().await;
    let large = "x".repeat(50_000);
    // More than the kernel takes for a client that does not read.
    let mut application = stage.application;
    let message = text(false, &large);
    let writing = spawn_local(async move {
        for _ in 0..40 {
            application.write_all(&message).await.unwrap();
        }
        application
    });
    stage.application = writing.await.unwrap();
    let metrics = Arc::clone(&stage.entry.metrics);
    while metrics.resumes.away.get() == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let second = stage.come_back(&first.token, 0).await;
    assert_eq!(second.state, 1);
    for _ in 0..40 {
        assert_eq!(next(&mut stage.client).await.1, large.as_bytes());
    }
}

#[tokio::test(flavor = "local")]
async fn critical_events_are_delivered_when_they_are_acknowledged() {
    let mut stage = stage_resuming("{window: 60s}\n    criticalEvents: [done]");
    let first = stage.greeted().await;
    let event = r#"{"type":"done"}"#;
    stage.say(event).await;
    stage.say(event).await;
    stage.hears(&[event, event]).await;
    let delivered = |stage: &Stage| {
        let text = stage.worker.process.metrics.render().unwrap();
        let line = text.lines().find(|line| {
            line.starts_with("bulkhead_websocket_critical_events_total")
                && line.contains("delivered")
        });
        line.unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    assert_eq!(delivered(&stage), "0");
    stage.cut().await;
    stage.come_back(&first.token, 1).await;
    assert_eq!(delivered(&stage), "1");
    stage.hears(&[event]).await;
    let up = [ack(2), text(true, "after")].concat();
    stage.client.write_all(&up).await.unwrap();
    stage.application_hears(&["after"]).await;
    assert_eq!(delivered(&stage), "2");
}

#[tokio::test(flavor = "local")]
async fn a_sidecar_that_goes_takes_its_sessions_with_it() {
    let mut stage = stage_resuming("{window: 60s}");
    stage.greeted().await;
    stage.cut().await;
    stage.worker.signal_all(Signal::Stop);
    within(&mut stage.session).await.unwrap();
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    assert!(stage.is_left());
    assert_eq!(stage.entry.metrics.resumes.away.get(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_client_that_closes_is_gone_at_once() {
    let mut stage = stage_resuming("{window: 60s}");
    let first = stage.greeted().await;
    let up = [
        text(true, "a"),
        frame(0x01, true, b"half"),
        frame(0x88, true, b"\x03\xe9"),
    ];
    stage.client.write_all(&up.concat()).await.unwrap();
    stage.application_hears(&["a"]).await;
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    stage
        .application
        .write_all(&frame(0x88, false, b"\x03\xe9"))
        .await
        .unwrap();
    assert_eq!(closed(&mut stage.client).await.0, 1001);
    within(&mut stage.session).await.unwrap();
    assert_eq!(stage.claim(&first.token), Err(Lost::UNKNOWN));
}

#[tokio::test(flavor = "local")]
async fn a_close_of_the_application_comes_behind_all_that_it_has_said() {
    let mut stage = stage_resuming("{window: 60s}");
    stage.greeted().await;
    let down = [text(false, "last"), frame(0x88, false, b"\x03\xe8done")];
    stage.application.write_all(&down.concat()).await.unwrap();
    stage.hears(&["last"]).await;
    assert_eq!(closed(&mut stage.client).await, (1000, "done".into()));
    stage
        .client
        .write_all(&frame(0x88, true, b"\x03\xe8"))
        .await
        .unwrap();
    within(&mut stage.session).await.unwrap();
    assert!(stage.is_left());
}

#[tokio::test(flavor = "local")]
async fn what_the_application_asks_reaches_the_client_without_a_message() {
    let mut stage = stage_resuming("{window: 60s}");
    stage.greeted().await;
    let ping = frame(0x89, false, b"client?");
    stage.application.write_all(&ping).await.unwrap();
    let asked = next(&mut stage.client).await;
    assert_eq!(asked, (Opcode::Ping, b"client?".to_vec()));
    let pong = frame(0x8A, true, b"client?");
    stage.client.write_all(&pong).await.unwrap();
    let answered = next(&mut stage.application).await;
    assert_eq!(answered, (Opcode::Pong, b"client?".to_vec()));
}

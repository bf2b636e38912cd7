mod cuts;
mod events;
mod hostile;
mod resume;
mod runs;
mod spare;
mod text;

use std::time::Duration;

use bulkhead_crds::effective::EffectivePolicy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use super::super::codec::{Opcode, apply_mask, parse_header};
use super::super::upgraded::Resumes;
use super::*;
use crate::force::Force;
use crate::process::Process;
use crate::secrets::Secrets;
use crate::stream::Stream;
use crate::telemetry::Metrics;
use crate::upstream::Resolver;
use crate::worker::fixtures::within;
use crate::worker::mailbox::Receiver;

const POLICY: &str = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat, namespace: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
  webSockets:
  - name: chat
    listen: {port: 8080}
    upstream: {port: 8000}
    timeouts: {ping: 10s, pong: 5s, idle: 1m, maxLifetime: 1h}
    limits: {messageBytes: 1Ki, messagesPerSecond: 10, slowConsumer: SLOW}
";

/// One socket, and both its ends.
struct Stage {
    worker: Rc<Worker>,
    entry: Rc<SocketEntry>,
    _mailboxes: Vec<Receiver>,
    client: UnixStream,
    application: UnixStream,
    session: JoinHandle<()>,
}

fn policy(text: &str) -> EffectivePolicy {
    let policy = bulkhead_crds::load(text).unwrap();
    bulkhead_crds::resolve(&policy, "testing").unwrap()
}

fn stage() -> Stage {
    stage_of("Wait")
}

fn stage_of(slow_consumer: &str) -> Stage {
    stage_under(&POLICY.replace("SLOW", slow_consumer))
}

/// A stage whose entry says this as well.
fn stage_that(says: &str) -> Stage {
    stage_under(&format!("{}    {says}\n", POLICY.replace("SLOW", "Wait")))
}

fn stage_under(text: &str) -> Stage {
    stage_with(text, None)
}

fn stage_with(text: &str, resumes: Option<Resumes>) -> Stage {
    let policy = Arc::new(policy(text));
    let secrets = Arc::new(Secrets::new(None));
    let resolver = Resolver::system();
    let force = Force::build("1".into(), &policy, &secrets, &resolver, None).unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let metrics = Metrics::new().unwrap();
    let process =
        Process::new(Arc::clone(&metrics), vec![sender]).with_grace(Duration::from_secs(3));
    let worker = Rc::new(Worker::new(0, Arc::new(process)));
    let entry = Rc::new(SocketEntry::new(
        Arc::clone(&force.web_sockets[0]),
        metrics.socket("chat"),
    ));
    worker.add_socket_entry(Rc::clone(&entry));
    let (upgraded, client, application) = upgraded(&worker, resumes);
    let session = spawn_local(serve(
        Rc::clone(&worker),
        Rc::clone(&entry),
        Box::new(upgraded),
    ));
    Stage {
        worker,
        entry,
        _mailboxes: vec![receiver],
        client,
        application,
        session,
    }
}

/// A socket of alice's that is about to come, and its two peers.
fn upgraded(worker: &Worker, resumes: Option<Resumes>) -> (Upgraded, UnixStream, UnixStream) {
    let (client, ours) = UnixStream::pair().unwrap();
    let (application, theirs) = UnixStream::pair().unwrap();
    let seat = worker.keep_seat(&"chat".into(), UserId::parse("alice").unwrap());
    let upgraded = Upgraded {
        entry: "chat".into(),
        seat: Some(seat.unwrap()),
        context: None,
        presented: worker.process.kills.now(),
        client: Stream::unix(ours).unwrap(),
        client_early: bytes::Bytes::new(),
        application: Stream::unix(theirs).unwrap(),
        application_early: bytes::Bytes::new(),
        deflates: false,
        resumes,
    };
    (upgraded, client, application)
}

/// A frame as its sender writes it.
fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        short @ ..126 => out.push(bit | short as u8),
        long => {
            out.push(bit | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if masked {
        out.extend_from_slice(&[9, 8, 7, 6]);
        apply_mask(&mut payload, [9, 8, 7, 6], 0);
    }
    out.extend_from_slice(&payload);
    out
}

fn text(masked: bool, payload: &str) -> Vec<u8> {
    frame(0x81, masked, payload.as_bytes())
}

/// The next frame: its opcode and its payload, unmasked.
async fn next(stream: &mut UnixStream) -> (Opcode, Vec<u8>) {
    let mut bytes = Vec::new();
    let header = loop {
        bytes.push(within(stream.read_u8()).await.unwrap());
        if let Some(header) = parse_header(&bytes).unwrap() {
            break header;
        }
    };
    let mut payload = vec![0; header.length as usize];
    within(stream.read_exact(&mut payload)).await.unwrap();
    if let Some(mask) = header.mask {
        apply_mask(&mut payload, mask, 0);
    }
    (header.opcode, payload)
}

/// The close frame that comes next: its code and reason.
async fn closed(stream: &mut UnixStream) -> (u16, String) {
    let (opcode, payload) = next(stream).await;
    assert_eq!(
        opcode,
        Opcode::Close,
        "{}",
        String::from_utf8_lossy(&payload)
    );
    let code = u16::from_be_bytes([payload[0], payload[1]]);
    (code, String::from_utf8(payload[2..].to_vec()).unwrap())
}

impl Stage {
    /// What is left to be read of a side that has ended.
    async fn end_of(stream: &mut UnixStream) -> Vec<u8> {
        let mut rest = Vec::new();
        within(stream.read_to_end(&mut rest)).await.unwrap();
        rest
    }

    fn is_left(&self) -> bool {
        let alice = UserId::parse("alice").unwrap();
        self.entry.known(&alice).is_none()
            && self.worker.sessions() == 0
            && self.worker.process.sessions() == 0
    }
}

#[tokio::test(flavor = "local")]
async fn frames_pass_byte_by_byte_in_both_directions() {
    let mut stage = stage();
    let up = [
        text(true, "hello"),
        frame(0x89, true, b"app?"),
        frame(0x02, true, b"a"),
        frame(0x80, true, b"b"),
    ]
    .concat();
    stage.client.write_all(&up).await.unwrap();
    let mut got = vec![0; up.len()];
    within(stage.application.read_exact(&mut got))
        .await
        .unwrap();
    assert_eq!(got, up);
    let down = [
        text(false, "hi"),
        frame(0x8A, false, b"app?"),
        text(false, &"x".repeat(5000)),
    ]
    .concat();
    stage.application.write_all(&down).await.unwrap();
    let mut got = vec![0; down.len()];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, down);
}

#[tokio::test(flavor = "local")]
async fn a_close_goes_through_and_both_streams_end_after_the_answer() {
    let mut stage = stage();
    stage
        .client
        .write_all(&frame(0x88, true, b"\x03\xe8bye"))
        .await
        .unwrap();
    assert_eq!(closed(&mut stage.application).await, (1000, "bye".into()));
    stage
        .application
        .write_all(&frame(0x88, false, b"\x03\xe8bye"))
        .await
        .unwrap();
    assert_eq!(closed(&mut stage.client).await, (1000, "bye".into()));
    assert!(Stage::end_of(&mut stage.client).await.is_empty());
    assert!(Stage::end_of(&mut stage.application).await.is_empty());
    within(&mut stage.session).await.unwrap();
    assert!(stage.is_left());
}

#[tokio::test(flavor = "local")]
async fn a_socket_that_was_on_its_way_when_its_user_was_killed_ends_when_it_comes() {
    let stage = stage();
    let (killed, mut hers, _application) = upgraded(&stage.worker, None);
    let alice = UserId::parse("alice").unwrap();
    stage.worker.process.kills.tell(&alice, None);
    let (welcome, mut again, mut application) = upgraded(&stage.worker, None);
    stage.worker.take_socket(Box::new(killed));
    stage.worker.take_socket(Box::new(welcome));
    let (code, reason) = closed(&mut hers).await;
    assert_eq!(code, 1008);
    assert!(reason.contains("an administrator"), "{reason}");
    let said = text(true, "here");
    again.write_all(&said).await.unwrap();
    let mut got = vec![0; said.len()];
    within(application.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, said);
}

#[tokio::test(flavor = "local")]
async fn a_message_above_the_limit_is_stopped_before_its_first_byte() {
    let mut stage = stage();
    stage.client.write_all(&text(true, "ok")).await.unwrap();
    stage
        .client
        .write_all(&text(true, &"x".repeat(1025)))
        .await
        .unwrap();
    assert_eq!(next(&mut stage.application).await.1, b"ok");
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 1009);
    assert!(
        reason.starts_with("webSockets[chat].limits.messageBytes = 1Ki"),
        "{reason}"
    );
    assert_eq!(closed(&mut stage.application).await.0, 1001);
}

#[tokio::test(flavor = "local")]
async fn a_client_that_breaks_the_protocol_is_told_and_the_application_hears_that_it_has_gone() {
    let mut stage = stage();
    stage
        .client
        .write_all(&text(false, "no mask"))
        .await
        .unwrap();
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 1002);
    assert!(
        reason.contains("the client") && reason.contains("not masked"),
        "{reason}"
    );
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    drop(stage.client);
    within(stage.session).await.unwrap();
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_silent_client_is_pinged_and_its_pong_is_nobody_elses() {
    let mut stage = stage();
    assert_eq!(
        next(&mut stage.client).await,
        (Opcode::Ping, b"bulkhead".to_vec())
    );
    let answer = [frame(0x8A, true, b"bulkhead"), text(true, "after")].concat();
    stage.client.write_all(&answer).await.unwrap();
    assert_eq!(
        next(&mut stage.application).await,
        (Opcode::Text, b"after".to_vec())
    );
    assert_eq!(
        next(&mut stage.client).await.0,
        Opcode::Ping,
        "and the next one comes"
    );
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 3008);
    assert!(
        reason.starts_with("webSockets[chat].timeouts.pong = 5s"),
        "{reason}"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn silence_of_both_is_an_end_although_pings_are_answered() {
    let mut stage = stage();
    let (code, reason) = loop {
        let (opcode, payload) = next(&mut stage.client).await;
        if opcode == Opcode::Ping {
            stage
                .client
                .write_all(&frame(0x8A, true, &payload))
                .await
                .unwrap();
            continue;
        }
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        break (code, String::from_utf8(payload[2..].to_vec()).unwrap());
    };
    assert_eq!(code, 1001);
    assert!(
        reason.starts_with("webSockets[chat].timeouts.idle = 1m"),
        "{reason}"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_user_who_sends_too_fast_is_slowed_down() {
    let mut stage = stage();
    let many: Vec<u8> = (0..30).flat_map(|_| text(true, "x")).collect();
    stage.client.write_all(&many).await.unwrap();
    let start = Instant::now();
    for _ in 0..30 {
        assert_eq!(next(&mut stage.application).await.0, Opcode::Text);
    }
    let took = start.elapsed();
    let expected = Duration::from_millis(1900)..Duration::from_millis(2500);
    assert!(
        expected.contains(&took),
        "10 at once, then 10 a second: {took:?}"
    );
}

#[tokio::test(flavor = "local")]
async fn an_application_that_dies_is_a_bad_gateway_and_a_client_that_dies_is_an_end() {
    let mut stage = stage();
    drop(std::mem::replace(
        &mut stage.application,
        UnixStream::pair().unwrap().0,
    ));
    assert_eq!(closed(&mut stage.client).await.0, 1014);
    drop(stage.client);
    within(stage.session).await.unwrap();

    let mut stage = self::stage();
    stage
        .client
        .write_all(&text(true, "last words"))
        .await
        .unwrap();
    drop(stage.client);
    assert_eq!(next(&mut stage.application).await.1, b"last words");
    assert!(Stage::end_of(&mut stage.application).await.is_empty());
    within(stage.session).await.unwrap();
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_drain_lets_a_message_end_and_asks_the_client_to_come_again() {
    let mut stage = stage();
    let message = text(false, "in flight");
    stage.application.write_all(&message[..4]).await.unwrap();
    let mut got = vec![0; 4];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    stage.worker.leave();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    stage.application.write_all(&message[4..]).await.unwrap();
    let mut got = vec![0; message.len() - 4];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, message[4..]);
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 1012, "{reason}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn who_is_never_done_with_what_they_may_not_send_is_closed() {
    let mut stage = stage();
    let many: Vec<u8> = (0..1000).flat_map(|_| text(true, "x")).collect();
    stage.client.write_all(&many).await.unwrap();
    let (mut application, _) = tokio::io::split(stage.application);
    spawn_local(async move { tokio::io::copy(&mut application, &mut tokio::io::sink()).await });
    tokio::time::sleep(Duration::from_secs(29)).await;
    let mut early = [0; 1];
    let nothing =
        tokio::time::timeout(Duration::from_millis(1), stage.client.read(&mut early)).await;
    assert!(nothing.is_err(), "it is only slowed down");
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 1008);
    assert!(
        reason.starts_with("webSockets[chat].limits.messagesPerSecond = 10"),
        "{reason}"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_close_of_ours_never_stands_in_a_frame_of_the_applications() {
    let mut stage = stage();
    let message = text(false, &"x".repeat(1000));
    stage.application.write_all(&message[..500]).await.unwrap();
    let mut got = vec![0; 500];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    stage
        .client
        .write_all(&text(false, "no mask"))
        .await
        .unwrap();
    // The application hears of it at once; the client when the frame is over.
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    stage.application.write_all(&message[500..]).await.unwrap();
    stage
        .application
        .write_all(&text(false, "too late"))
        .await
        .unwrap();
    let mut got = vec![0; message.len() - 500];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, message[500..]);
    assert_eq!(closed(&mut stage.client).await.0, 1002);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_is_not_read_is_not_blamed_for_its_silence() {
    let mut stage = stage();
    let message = frame(0x82, true, &[7; 1000]);
    let (mut client, mut sender) = stage.client.split();
    // Nine at once, so that no rate holds them, and more than the application's socket takes.
    let fill = async {
        loop {
            for _ in 0..9 {
                sender.write_all(&message).await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let silent = tokio::time::timeout(Duration::from_secs(50), fill).await;
    assert!(
        silent.is_err(),
        "the application takes nothing, so nothing ends"
    );
    let mut got = [0; 64];
    let heard = tokio::time::timeout(Duration::from_millis(1), client.read(&mut got)).await;
    assert!(heard.is_err(), "nobody was pinged or closed: {heard:?}");
}

#[tokio::test(flavor = "local")]
async fn what_an_application_said_before_it_went_is_heard_although_it_takes_nothing_any_more() {
    let mut stage = stage();
    let words = [text(false, "last"), frame(0x88, false, b"\x0f\xa1why")].concat();
    stage.application.write_all(&words).await.unwrap();
    drop(stage.application);
    for _ in 0..3 {
        stage
            .client
            .write_all(&text(true, "too late"))
            .await
            .unwrap();
    }
    assert_eq!(next(&mut stage.client).await.1, b"last");
    assert_eq!(closed(&mut stage.client).await, (4001, "why".into()));
}

#[tokio::test(flavor = "local")]
async fn an_application_that_dies_within_a_frame_ends_the_socket_at_once() {
    let mut stage = stage();
    stage
        .application
        .write_all(&text(false, "half")[..3])
        .await
        .unwrap();
    let mut got = [0; 3];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    drop(stage.application);
    assert!(Stage::end_of(&mut stage.client).await.is_empty());
    within(stage.session).await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_slow_client_is_closed_at_its_users_ledger_where_the_policy_says_so() {
    let mut stage = stage_of("Close");
    let message = frame(0x82, false, &[7; 60_000]);
    let feeding = async {
        loop {
            if stage.application.write_all(&message).await.is_err() {
                break;
            }
        }
    };
    within(feeding).await;
    within(stage.session).await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_client_that_reads_nothing_holds_a_bounded_number_of_bytes() {
    let mut stage = stage();
    let message = frame(0x82, false, &[7; 60_000]);
    let mut written = 0;
    // As much as the kernel takes, and the relay with it.
    while let Ok(Ok(count)) = tokio::time::timeout(
        Duration::from_millis(200),
        stage.application.write(&message),
    )
    .await
    {
        written += count;
    }
    let alice = stage.entry.user(&UserId::parse("alice").unwrap());
    assert!(
        alice.held() <= 2 * crate::relay::BUFFER_BYTES as u64,
        "{}",
        alice.held()
    );
    assert!(written < 4 << 20);
    stage
        .client
        .write_all(&text(true, "still heard"))
        .await
        .unwrap();
    assert_eq!(next(&mut stage.application).await.1, b"still heard");
}

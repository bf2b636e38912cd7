//! Sessions that survive their connection, under clients, applications and networks that do their worst.

use super::super::super::resume::message::PREFIX;
use super::resume::{stage_resuming, told};
use super::*;

/// A message that opens a stream of fragments that no buffer of 4Ki keeps, and has been heard.
async fn streaming() -> Stage {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Ki}");
    stage.greeted().await;
    let large = "y".repeat(5000);
    let first = frame(0x01, false, large.as_bytes());
    stage.application.write_all(&first).await.unwrap();
    assert_eq!(told(&mut stage.client).await, (3, vec![1]));
    assert_eq!(next(&mut stage.client).await.1, large.as_bytes());
    stage
}

/// The payload of four bytes that the last frame ends with, if it has one.
fn unmasked_tail(bytes: &[u8]) -> [u8; 4] {
    let mut tail = [0; 4];
    if let Some((front, payload)) = bytes.split_last_chunk::<4>()
        && let Some((_, mask)) = front.split_last_chunk::<4>()
    {
        tail = *payload;
        apply_mask(&mut tail, *mask, 0);
    }
    tail
}

fn credential() -> Vec<u8> {
    frame(0x82, true, &[&PREFIX[..], b"\x04not a token"].concat())
}

#[tokio::test(flavor = "local")]
async fn nothing_is_put_into_the_middle_of_a_message_that_is_not_kept() {
    let mut stage = streaming().await;
    let rest = frame(0x80, false, "z".repeat(9000).as_bytes());
    let (front, back) = rest.split_at(4000);
    stage.application.write_all(front).await.unwrap();
    let mut got = vec![0; front.len()];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, front);
    // An answer for the client that has to wait for the end of the message.
    let up = [credential(), text(true, "behind it")].concat();
    stage.client.write_all(&up).await.unwrap();
    stage.application_hears(&["behind it"]).await;
    stage.application.write_all(back).await.unwrap();
    let mut got = vec![0; back.len()];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, back);
    assert_eq!(told(&mut stage.client).await.0, 4);
}

#[tokio::test(flavor = "local")]
async fn control_frames_go_between_the_fragments_of_a_message_that_is_not_kept() {
    let mut stage = streaming().await;
    // More of them than is held, and an answer of the sidecar's that has to wait for the end of the message.
    stage.client.write_all(&credential()).await.unwrap();
    for _ in 0..5000 {
        let ping = frame(0x89, false, b"there?");
        stage.application.write_all(&ping).await.unwrap();
        let expected = (Opcode::Ping, b"there?".to_vec());
        assert_eq!(next(&mut stage.client).await, expected);
    }
    let last = frame(0x80, false, b"end");
    stage.application.write_all(&last).await.unwrap();
    stage.hears(&["end"]).await;
    assert_eq!(told(&mut stage.client).await.0, 4);
}

#[tokio::test(flavor = "local")]
async fn a_frame_that_is_not_kept_is_ended_before_the_close() {
    let mut stage = streaming().await;
    let rest = frame(0x80, false, "z".repeat(9000).as_bytes());
    let (front, back) = rest.split_at(4000);
    stage.application.write_all(front).await.unwrap();
    let mut got = vec![0; front.len()];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    stage.worker.signal_all(Signal::GiveWay);
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    let down = [back, &text(false, "too late")].concat();
    stage.application.write_all(&down).await.unwrap();
    let mut got = vec![0; back.len()];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, back);
    assert_eq!(closed(&mut stage.client).await.0, 1008);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_close_stands_between_fragments_of_a_message_that_is_not_kept() {
    let mut stage = streaming().await;
    stage.worker.signal_all(Signal::GiveWay);
    assert_eq!(closed(&mut stage.client).await.0, 1008);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_has_taken_the_sidecars_frames_is_not_taken_for_stalled() {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Mi}");
    stage.greeted().await;
    // Control frames alone, until neither the client's kernel nor the sidecar takes more.
    let ping = frame(0x89, false, &[b'p'; 125]);
    let mut count = 0;
    while let Ok(written) = tokio::time::timeout(
        Duration::from_millis(10),
        stage.application.write_all(&ping),
    )
    .await
    {
        written.unwrap();
        count += 1;
    }
    for _ in 0..count {
        assert_eq!(next(&mut stage.client).await.0, Opcode::Ping);
    }
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        stage
            .client
            .write_all(&frame(0x8A, true, b""))
            .await
            .unwrap();
    }
    assert_eq!(stage.entry.metrics.resumes.away.get(), 0);
}

#[tokio::test(flavor = "local")]
async fn a_ping_that_the_lost_client_has_not_answered_is_answered_for_it() {
    let mut stage = stage_resuming("{window: 60s}");
    let first = stage.greeted().await;
    let pings = [
        frame(0x89, false, b"answered"),
        frame(0x89, false, b"unanswered"),
    ];
    stage.application.write_all(&pings.concat()).await.unwrap();
    assert_eq!(next(&mut stage.client).await.1, b"answered");
    assert_eq!(next(&mut stage.client).await.1, b"unanswered");
    let pong = frame(0x8A, true, b"answered");
    stage.client.write_all(&pong).await.unwrap();
    assert_eq!(next(&mut stage.application).await.1, b"answered");
    // Neither a loss nor a takeover leaves it open.
    stage.come_back(&first.token, 0).await;
    let expected = (Opcode::Pong, b"unanswered".to_vec());
    assert_eq!(next(&mut stage.application).await, expected);
    stage.cut().await;
    stage.say("after").await;
    let alone = tokio::time::timeout(Duration::from_millis(50), stage.application.read_u8()).await;
    assert!(alone.is_err(), "once is enough");
}

#[tokio::test(flavor = "local")]
async fn an_application_that_pings_and_does_not_read_is_owed_no_more_than_one_answer() {
    let mut stage = stage_resuming("{window: 60s}");
    stage.greeted().await;
    stage.cut().await;
    let ping = frame(0x89, false, &[b'p'; 125]);
    let (mut reader, mut writer) = stage.application.into_split();
    for _ in 0..20_000 {
        writer.write_all(&ping).await.unwrap();
    }
    writer
        .write_all(&frame(0x89, false, b"last"))
        .await
        .unwrap();
    let held = stage.entry.user(&UserId::parse("alice").unwrap()).held();
    assert!(held < 64 * 1024, "{held}");
    // The last one is answered when it reads.
    let mut got = Vec::new();
    while got.len() < 4 || unmasked_tail(&got) != *b"last" {
        got.push(within(reader.read_u8()).await.unwrap());
    }
}

#[tokio::test(flavor = "local")]
async fn a_client_that_comes_back_with_a_count_that_cannot_be_ends_the_session() {
    let mut stage = stage_resuming("{window: 60s}");
    let first = stage.greeted().await;
    stage.cut().await;
    stage.arrive_again(&first.token, 7).await;
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    within(&mut stage.session).await.unwrap();
    assert!(stage.claim(&first.token).is_err());
    assert!(stage.is_left());
}

#[tokio::test(flavor = "local")]
async fn a_client_that_closes_with_a_full_buffer_hears_the_end() {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Ki}");
    let first = stage.greeted().await;
    let large = "z".repeat(1500);
    for _ in 0..2 {
        stage.say(&large).await;
    }
    stage.hears(&[&large, &large]).await;
    let close = frame(0x88, true, b"\x03\xe8");
    stage.client.write_all(&close).await.unwrap();
    assert_eq!(closed(&mut stage.application).await.0, 1000);
    let down = [text(false, &large), frame(0x88, false, b"\x03\xe8")];
    stage.application.write_all(&down.concat()).await.unwrap();
    stage.hears(&[&large]).await;
    assert_eq!(closed(&mut stage.client).await.0, 1000);
    within(&mut stage.session).await.unwrap();
    assert!(stage.claim(&first.token).is_err());
    assert_eq!(stage.worker.process.resume_bytes(), 0);
}

#[tokio::test(flavor = "local")]
async fn short_messages_count_with_what_they_take() {
    let mut stage = stage_resuming("{window: 60s, buffer: 4Ki}");
    let first = stage.greeted().await;
    stage.cut().await;
    // Far fewer bytes than the buffer, as they are on the wire.
    let many = text(false, "").repeat(1000);
    stage.application.write_all(&many).await.unwrap();
    within(&mut stage.session).await.unwrap();
    let lost = stage.claim(&first.token).unwrap_err();
    assert_eq!(
        lost.reason,
        crate::protocol::websocket::resume::LostReason::Buffer
    );
}

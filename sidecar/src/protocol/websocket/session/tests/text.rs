//! Text messages that are checked on their way.

use super::*;

const CHECKED: &str = "validateUtf8: true";

#[tokio::test(flavor = "local")]
async fn text_passes_wherever_its_characters_are_cut() {
    let mut stage = stage_that(CHECKED);
    let parts = [
        frame(0x01, true, b"\xE2"),
        frame(0x89, true, b"\xFF"),
        frame(0x80, true, b"\x82\xAC"),
        frame(0x82, true, b"\xFF\xFE"),
        text(true, "\u{1F600}"),
    ]
    .concat();
    for byte in &parts {
        stage.client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut got = vec![0; parts.len()];
    within(stage.application.read_exact(&mut got))
        .await
        .unwrap();
    assert_eq!(got, parts);
}

#[tokio::test(flavor = "local")]
async fn a_frame_that_is_not_text_is_kept_back_and_who_sent_it_is_told() {
    let mut stage = stage_that(CHECKED);
    let sent = [text(true, "fine"), frame(0x81, true, b"a\x80")].concat();
    stage.client.write_all(&sent).await.unwrap();
    assert_eq!(next(&mut stage.application).await.1, b"fine");
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 1007);
    assert!(reason.starts_with("the client: a text message"), "{reason}");
    within(stage.session).await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_message_may_not_end_within_a_character() {
    let mut stage = stage_that(CHECKED);
    stage
        .application
        .write_all(&frame(0x01, false, b"\xE2\x82"))
        .await
        .unwrap();
    assert_eq!(next(&mut stage.client).await.1, b"\xE2\x82");
    stage
        .application
        .write_all(&frame(0x80, false, b""))
        .await
        .unwrap();
    let (code, reason) = closed(&mut stage.client).await;
    assert_eq!(code, 1007);
    assert!(reason.starts_with("the application:"), "{reason}");
    assert_eq!(closed(&mut stage.application).await.0, 1007);
}

#[tokio::test(flavor = "local")]
async fn where_half_a_frame_has_gone_its_receivers_stream_ends_within_it() {
    let mut stage = stage_that(CHECKED);
    let message = frame(0x81, false, b"half \xFF");
    stage.application.write_all(&message[..7]).await.unwrap();
    let mut got = [0; 7];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    stage.application.write_all(&message[7..]).await.unwrap();
    assert_eq!(closed(&mut stage.application).await.0, 1007);
    assert!(Stage::end_of(&mut stage.client).await.is_empty());
    within(&mut stage.session).await.unwrap();

    let mut stage = stage_that(CHECKED);
    let message = frame(0x81, true, b"half \xFF more");
    stage.client.write_all(&message[..11]).await.unwrap();
    let mut got = [0; 11];
    within(stage.application.read_exact(&mut got))
        .await
        .unwrap();
    stage.client.write_all(&message[11..]).await.unwrap();
    assert_eq!(closed(&mut stage.client).await.0, 1007);
    assert!(Stage::end_of(&mut stage.application).await.is_empty());
    within(&mut stage.session).await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn text_that_nobody_asked_to_be_checked_passes_as_it_is() {
    let mut stage = stage();
    let sent = frame(0x81, true, b"\xFF");
    stage.client.write_all(&sent).await.unwrap();
    assert_eq!(next(&mut stage.application).await.1, b"\xFF");
}

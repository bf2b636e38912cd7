//! What a client leaves behind when it goes in the middle of something.

use super::{play, run};
use crate::worker::fixtures::{Stage, complete, message, parse, query, ready, settle, sync};

#[tokio::test]
async fn a_setting_whose_client_did_not_wait_for_the_answer_is_not_left_to_the_next() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SET search_path = other")]).await;
        server.expect("Q", None).await;
        drop(client);
        drop(stage.cancel_request().await);
        // The cancel came too late: the server has carried it out.
        server.expect("S", None).await;
        server
            .send(&[complete("SET"), ready(b'I'), ready(b'I')])
            .await;
        let said = server.expect("Q", None).await;
        assert_eq!(said, b"DISCARD ALL\0");
        server.send(&[complete("DISCARD ALL"), ready(b'I')]).await;
        settle().await;
        assert_eq!(stage.entry.limiter.in_use(), 1, "the connection is kept");
    })
    .await;
}

#[tokio::test]
async fn an_open_transaction_is_rolled_back_before_anybody_else_comes() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        drop(client);
        let said = server.expect("Q", None).await;
        assert_eq!(said, b"ROLLBACK\0");
        assert_eq!(stage.factory("alice").idle(), 0);
        server.send(&[complete("ROLLBACK"), ready(b'I')]).await;
        settle().await;
        assert_eq!(stage.factory("alice").idle(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_running_statement_is_cancelled_and_its_answer_read_by_nobody() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("", "SELECT 1"), sync()]).await;
        server.expect("PS", None).await;
        drop(client);
        let request = stage.cancel_request().await;
        server.expect("S", None).await;
        server
            .send(&[message(b'1', &[]), ready(b'I'), ready(b'I')])
            .await;
        settle().await;
        assert_eq!(
            stage.factory("alice").idle(),
            0,
            "the cancel request is under way"
        );
        assert!(!stage.worker.errands.are_done(), "the worker waits for it");
        drop(request);
        let said = server.expect("Q", None).await;
        assert_eq!(said, b"DISCARD ALL\0");
        server.send(&[complete("DISCARD ALL"), ready(b'I')]).await;
        settle().await;
        assert!(stage.worker.errands.are_done());
    })
    .await;
}

#[tokio::test]
async fn a_message_that_was_cut_off_costs_the_connection() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        let whole = query(&"x".repeat(40_000));
        client.send(&[whole[..30_000].to_vec()]).await;
        settle().await;
        drop(client);
        // What runs before it would run on: a server does not notice that its client has gone.
        let request = stage.cancel_request().await;
        settle().await;
        assert_eq!(stage.entry.limiter.in_use(), 1, "the server is still busy");
        drop(request);
        assert!(server.is_closed().await);
        settle().await;
        assert_eq!(stage.entry.limiter.in_use(), 0, "its permit is free");
    })
    .await;
}

#[tokio::test]
async fn a_session_that_pinned_its_connection_leaves_it_as_new() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "LISTEN news", "LISTEN", b'I').await;
        assert_eq!(stage.factory("alice").idle(), 0, "it is pinned");
        drop(client);
        let said = server.expect("Q", None).await;
        assert_eq!(said, b"DISCARD ALL\0");
        server.send(&[complete("DISCARD ALL"), ready(b'I')]).await;
        settle().await;
        assert_eq!(stage.factory("alice").idle(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_answers_discard_all_with_nothing_but_ready_is_not_reused() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "LISTEN news", "LISTEN", b'I').await;
        drop(client);
        server.expect("Q", None).await;
        server.send(&[ready(b'I')]).await;
        assert!(server.is_closed().await);
        assert_eq!(stage.factory("alice").idle(), 0);
    })
    .await;
}

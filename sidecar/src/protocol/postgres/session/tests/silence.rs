//! A client that thinks in the middle of a batch: which clock runs, and how the batch ends.

use std::time::Duration;

use super::{pass, play, run};
use crate::worker::fixtures::{
    Peer, Stage, bind, complete, error, execute, message, parse, query, ready, settle, sync,
};

const LIMIT: Duration = Duration::from_secs(10);

/// Limits of statement and of silence.
fn stage(statement: Option<Duration>, silence: Option<Duration>) -> Stage {
    Stage::new(|policy| {
        let timeouts = &mut policy.databases[0].timeouts;
        timeouts.statement = statement;
        timeouts.transaction = None;
        timeouts.idle_in_transaction = silence;
    })
}

fn flush() -> Vec<u8> {
    message(b'H', &[])
}

/// A batch of which the client has got every answer that it can get yet.
async fn begin_batch(client: &mut Peer, server: &mut Peer) {
    client.send(&[parse("", "SELECT 1"), flush()]).await;
    server.expect("PH", None).await;
    server.send(&[message(b'1', &[])]).await;
    client.expect("1", None).await;
}

async fn rolled_back(server: &mut Peer) {
    assert_eq!(server.expect("Q", None).await, b"ROLLBACK\0");
    let warning = message(b'N', b"SWARNING\0\0");
    server
        .send(&[warning, complete("ROLLBACK"), ready(b'I')])
        .await;
    settle().await;
}

fn says(body: &[u8], code: &str) -> bool {
    String::from_utf8_lossy(body).contains(code)
}

#[tokio::test]
async fn a_client_that_thinks_after_flush_is_no_statement_that_takes_long() {
    play(async {
        let stage = stage(Some(LIMIT), None);
        let (mut client, mut server) = stage.greeted("alice").await;
        begin_batch(&mut client, &mut server).await;
        pass(2 * LIMIT).await;
        client.send(&[bind(""), execute(), sync()]).await;
        server.expect("BES", None).await;
        // And the clock runs again.
        pass(LIMIT + Duration::from_millis(1)).await;
        drop(stage.cancel_request().await);
        server.send(&[error("57014"), ready(b'I')]).await;
        client.expect("EZ", None).await;
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_still_owed_is_not_the_clients_silence() {
    play(async {
        let stage = stage(None, Some(LIMIT));
        let (mut client, mut server) = stage.greeted("alice").await;
        client
            .send(&[parse("", "SELECT 1"), bind(""), execute(), flush()])
            .await;
        server.expect("PBEH", None).await;
        server.send(&[message(b'1', &[]), message(b'2', &[])]).await;
        client.expect("12", None).await;
        pass(2 * LIMIT).await;
        server.send(&[complete("SELECT 1")]).await;
        client.expect("C", None).await;
        client.send(&[sync()]).await;
        server.expect("S", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_batch_whose_client_is_silent_is_rolled_back_and_told_at_its_next_message() {
    for (next, tags) in [
        (vec![sync()], "EZ"),
        (vec![flush(), bind(""), execute(), sync()], "EZ"),
        (vec![query("SELECT 1")], "EZ"),
    ] {
        play(async {
            let stage = stage(None, Some(LIMIT));
            let (mut client, mut server) = stage.greeted("alice").await;
            begin_batch(&mut client, &mut server).await;
            pass(LIMIT + Duration::from_millis(1)).await;
            rolled_back(&mut server).await;
            assert_eq!(stage.factory("alice").idle(), 1, "the connection is back");
            client.send(&next).await;
            let told = client.expect(&tags[..1], None).await;
            assert!(says(&told, "C25P03") && says(&told, "timeouts.idleInTransaction"));
            assert_eq!(client.expect(&tags[1..], None).await, b"I");
            run(&mut client, &mut server, "SELECT 2", "SELECT 1", b'I').await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_batch_in_a_transaction_leaves_it_failed() {
    play(async {
        let stage = stage(None, Some(LIMIT));
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        begin_batch(&mut client, &mut server).await;
        pass(LIMIT + Duration::from_millis(1)).await;
        rolled_back(&mut server).await;
        client.send(&[bind(""), execute(), sync()]).await;
        assert!(says(&client.expect("E", None).await, "C25P03"));
        assert_eq!(client.expect("Z", None).await, b"E");
        client.send(&[query("SELECT 1")]).await;
        client.expect("EZ", None).await;
        client.send(&[query("ROLLBACK")]).await;
        assert_eq!(client.expect("CZ", None).await, b"I");
        run(&mut client, &mut server, "SELECT 2", "SELECT 1", b'I').await;
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_has_failed_and_is_not_ended_has_had_its_error() {
    play(async {
        let stage = stage(None, Some(LIMIT));
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("", "oops"), flush()]).await;
        server.expect("PH", None).await;
        server.send(&[error("42601")]).await;
        client.expect("E", None).await;
        pass(LIMIT + Duration::from_millis(1)).await;
        // The server skips to a Sync, and reads no ROLLBACK before it.
        server.expect("S", None).await;
        server.send(&[ready(b'I')]).await;
        rolled_back(&mut server).await;
        client.send(&[bind(""), sync()]).await;
        assert_eq!(client.expect("Z", None).await, b"I");
        run(&mut client, &mut server, "SELECT 2", "SELECT 1", b'I').await;
    })
    .await;
}

#[tokio::test]
async fn a_client_is_not_tied_to_a_server_that_confirms_no_rollback() {
    play(async {
        let stage = stage(None, Some(LIMIT));
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        pass(LIMIT + Duration::from_millis(1)).await;
        assert_eq!(server.expect("Q", None).await, b"ROLLBACK\0");
        // Given: the link is dead, and nothing more comes from the server.
        client.send(&[query("ROLLBACK")]).await;
        client.expect("CZ", None).await;
        drop(stage.cancel_request().await);
        // When the client goes on, then it does so elsewhere and at once.
        client.send(&[query("SELECT 1")]).await;
        let mut other = stage.accept().await;
        other.expect("Q", None).await;
        other.send(&[complete("SELECT 1"), ready(b'I')]).await;
        assert_eq!(client.expect("CZ", None).await, b"I");
    })
    .await;
}

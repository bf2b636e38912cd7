//! Whole sessions, with the test as their client and as their server.

use tokio::task::LocalSet;

use crate::worker::fixtures::{Stage, complete, error, message, query, ready, settle, within};

/// Runs a test's story where sessions can be spawned.
async fn play(story: impl Future<Output = ()>) {
    LocalSet::new().run_until(story).await;
}

#[tokio::test]
async fn a_statement_goes_to_the_server_and_its_answer_to_the_client() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        server.send(&[complete("SELECT 1"), ready(b'I')]).await;
        client.expect("CZ", None).await;
        settle().await;
        assert_eq!(stage.factory("alice").idle(), 1, "the connection is back");
    })
    .await;
}

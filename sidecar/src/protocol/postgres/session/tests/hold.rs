//! Messages that wait behind others of the same client's.

use super::{play, run};
use crate::worker::fixtures::{
    Peer, Stage, bind, complete, execute, message, parse, query, ready, settle, sync,
};

/// A statement that the server has learnt.
async fn prepare(client: &mut Peer, server: &mut Peer, name: &str, text: &str) {
    client.send(&[parse(name, text), sync()]).await;
    server.expect("PS", None).await;
    server.send(&[message(b'1', &[]), ready(b'I')]).await;
    client.expect("1Z", None).await;
}

#[tokio::test]
async fn what_is_parsed_behind_a_deallocate_all_is_there_after_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        prepare(&mut client, &mut server, "a", "SELECT 1").await;
        client
            .send(&[
                query("DEALLOCATE ALL"),
                parse("a", "SELECT 1"),
                parse("b", "SELECT 2"),
                bind("a"),
                execute(),
                sync(),
            ])
            .await;
        server.expect("Q", None).await;
        server
            .send(&[complete("DEALLOCATE ALL"), ready(b'I')])
            .await;
        // The server has dropped the first one, and is taught again.
        server.expect("PPBES", None).await;
        server
            .send(&[
                message(b'1', &[]),
                message(b'1', &[]),
                message(b'2', &[]),
                complete("SELECT 1"),
                ready(b'I'),
            ])
            .await;
        client.expect("CZ112CZ", None).await;
        client.send(&[bind("b"), execute(), sync()]).await;
        server.expect("BES", None).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_parsed_behind_a_discard_all_of_the_same_batch_is_there_after_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client
            .send(&[
                parse("", "DISCARD ALL"),
                bind(""),
                execute(),
                parse("b", "SELECT 2"),
                sync(),
            ])
            .await;
        server.expect("PBEH", None).await;
        server
            .send(&[
                message(b'1', &[]),
                message(b'2', &[]),
                complete("DISCARD ALL"),
            ])
            .await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        client.expect("12C1Z", None).await;
        client.send(&[bind("b"), execute(), sync()]).await;
        server.expect("BES", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_deallocate_all_that_fails_leaves_what_was_known() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        prepare(&mut client, &mut server, "a", "SELECT 1").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        client
            .send(&[query("DISCARD ALL"), query("ROLLBACK"), bind("a"), sync()])
            .await;
        server.expect("Q", None).await;
        let refused = crate::worker::fixtures::error("25001");
        server.send(&[refused, ready(b'E')]).await;
        client.expect("EZ", None).await;
        server.expect("QBS", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_goes_while_something_waits_for_its_answer_leaves_nothing_waiting() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client
            .send(&[query("DEALLOCATE ALL"), query("SELECT 1")])
            .await;
        server.expect("Q", None).await;
        drop(server);
        client.expect("EZ", None).await;
        let mut other = stage.accept().await;
        other.expect("Q", None).await;
        other.send(&[complete("SELECT 1"), ready(b'I')]).await;
        client.expect("CZ", None).await;
    })
    .await;
}

#[tokio::test]
async fn big_texts_for_a_server_that_does_not_read_wait_for_it() {
    play(async {
        let stage = Stage::new(|policy| policy.limits.memory_per_user = 1 << 30);
        let (mut client, session) = stage.client("alice");
        let mut server = stage.accept().await;
        client.expect("RZ", Some("Z")).await;
        // Given: statements with big texts, and a server connection that knows none of them.
        let names: Vec<_> = (0..8).map(|number| format!("s{number}")).collect();
        for name in &names {
            let text = format!("SELECT '{name}{}'", "x".repeat(500_000));
            prepare(&mut client, &mut server, name, &text).await;
        }
        drop(server);
        settle().await;
        // When: a few bytes ask for all of them, and the server does not read.
        let binds = names.iter().map(|name| bind(name));
        let goodbye = message(b'X', &[]);
        let all: Vec<_> = binds.chain([sync(), goodbye]).collect();
        client.send(&all).await;
        let mut other = stage.accept().await;
        settle().await;
        assert!(!session.is_finished(), "it has read on to the goodbye");
        // Then: it goes on when the server does.
        for _ in &names {
            other.expect("PB", None).await;
        }
        other.expect("S", None).await;
        settle().await;
        assert!(!session.is_finished(), "its work goes on");
        let answers = names
            .iter()
            .flat_map(|_| [message(b'1', b""), message(b'2', b"")]);
        let answers: Vec<_> = answers.chain([ready(b'I')]).collect();
        other.send(&answers).await;
        settle().await;
        assert!(session.is_finished());
    })
    .await;
}

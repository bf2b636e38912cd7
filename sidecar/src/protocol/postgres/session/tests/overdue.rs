//! A timeout that fires in the moment in which the statement ends, and what its client gets.

use std::time::Duration;

use super::{pass, play, run};
use crate::worker::fixtures::{
    Peer, Stage, bind, complete, error, execute, message, parse, query, ready, settle, sync,
};

const LIMIT: Duration = Duration::from_secs(10);

fn stage() -> Stage {
    Stage::new(|policy| {
        let timeouts = &mut policy.databases[0].timeouts;
        timeouts.statement = Some(LIMIT);
        timeouts.transaction = None;
    })
}

/// The statement's time is over, and the cancel on its way.
async fn time_out(stage: &Stage) -> tokio::net::UnixStream {
    pass(LIMIT + Duration::from_millis(1)).await;
    stage.cancel_request().await
}

fn row() -> Vec<u8> {
    message(b'D', &[b'x'; 100])
}

fn says(body: &[u8], words: &str) -> bool {
    String::from_utf8_lossy(body).contains(words)
}

#[tokio::test]
async fn a_statement_that_ends_by_itself_all_the_same_has_its_answer() {
    play(async {
        let stage = stage();
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        let begun = row();
        server.send(&[row(), begun[..50].to_vec()]).await;
        drop(time_out(&stage).await);
        // Then: what was begun is finished, and what follows comes too.
        server
            .send(&[
                begun[50..].to_vec(),
                row(),
                complete("SELECT 3"),
                ready(b'I'),
            ])
            .await;
        client.expect("DDDCZ", None).await;
        run(&mut client, &mut server, "SELECT 2", "SELECT 1", b'I').await;
        let counted = stage.factory("alice").activity.timeouts.get();
        assert_eq!(counted, 1, "it counts all the same");
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_the_cancel_ends_has_its_rows_and_our_words() {
    play(async {
        let stage = stage();
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        drop(time_out(&stage).await);
        server.send(&[row(), error("57014"), ready(b'I')]).await;
        client.expect("D", None).await;
        let told = client.expect("E", None).await;
        assert!(says(&told, "timeouts.statement = 10s"));
        client.expect("Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_fails_by_itself_has_its_own_error() {
    play(async {
        let stage = stage();
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1/0")]).await;
        server.expect("Q", None).await;
        drop(time_out(&stage).await);
        server.send(&[error("22012"), ready(b'I')]).await;
        let told = client.expect("E", None).await;
        assert!(says(&told, "C22012"));
        client.expect("Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_cancel_that_hits_the_next_statement_of_a_pipeline_is_told_in_our_words() {
    play(async {
        let stage = stage();
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1"), query("SELECT 2")]).await;
        server.expect("QQ", None).await;
        let _under_way = time_out(&stage).await;
        server.send(&[complete("SELECT 1"), ready(b'I')]).await;
        client.expect("CZ", None).await;
        server.send(&[error("57014"), ready(b'I')]).await;
        let told = client.expect("E", None).await;
        assert!(says(&told, "timeouts.statement"));
        client.expect("Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn an_extended_batch_that_ends_by_itself_has_its_answer() {
    play(async {
        let stage = stage();
        let (mut client, mut server) = stage.greeted("alice").await;
        client
            .send(&[
                parse("", "SELECT 1"),
                bind(""),
                execute(),
                parse("b", "SELECT 2"),
                sync(),
            ])
            .await;
        server.expect("PBEPS", None).await;
        server.send(&[message(b'1', &[]), message(b'2', &[])]).await;
        drop(time_out(&stage).await);
        server
            .send(&[row(), complete("SELECT 1"), message(b'1', &[]), ready(b'I')])
            .await;
        client.expect("12DC1Z", None).await;
    })
    .await;
}

/// Sends more than fits on the way to a client that does not read, and gives how many rows that were.
async fn flood(server: &mut Peer, after: &[Vec<u8>]) -> usize {
    let rows = 20_000;
    for _ in 0..rows {
        server.send(&[row()]).await;
    }
    server.send(after).await;
    rows
}

/// Whatever ends it: rows that the client has not taken are missing, so it is told.
async fn a_client_that_does_not_read(end: Vec<Vec<u8>>) {
    play(async {
        let stage = stage();
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        let server = tokio::task::spawn_local(async move {
            let rows = flood(&mut server, &end).await;
            (server, rows)
        });
        drop(time_out(&stage).await);
        assert!(!server.is_finished(), "nobody reads it");
        pass(Duration::from_millis(1100)).await;
        let (mut server, rows) = server.await.unwrap();
        settle().await;
        let mut taken = 0;
        let told = loop {
            match client.next().await {
                ('D', _) => taken += 1,
                ('E', told) => break told,
                (tag, _) => panic!("{tag} after {taken} rows"),
            }
        };
        assert!(taken < rows, "{taken}");
        assert!(says(&told, "timeouts.statement"));
        client.expect("Z", None).await;
        run(&mut client, &mut server, "SELECT 2", "SELECT 1", b'I').await;
    })
    .await;
}

#[tokio::test]
async fn what_a_client_has_not_taken_is_discarded_and_the_statement_ends() {
    a_client_that_does_not_read(vec![error("57014"), ready(b'I')]).await;
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_no_normal_answer() {
    a_client_that_does_not_read(vec![complete("SELECT 20000"), ready(b'I')]).await;
}

#[tokio::test]
async fn a_transaction_that_is_over_time_and_committed_by_its_pipeline_is_committed() {
    play(async {
        let stage = Stage::new(|policy| {
            policy.databases[0].timeouts.statement = None;
            policy.databases[0].timeouts.transaction = Some(LIMIT);
        });
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        client.send(&[query("SELECT 1"), query("COMMIT")]).await;
        server.expect("QQ", None).await;
        drop(time_out(&stage).await);
        server.send(&[complete("SELECT 1"), ready(b'T')]).await;
        client.expect("CZ", None).await;
        drop(stage.cancel_request().await);
        server.send(&[complete("COMMIT"), ready(b'I')]).await;
        client.expect("CZ", None).await;
        settle().await;
        run(&mut client, &mut server, "SELECT 2", "SELECT 1", b'I').await;
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_is_over_time_behind_its_last_statement_is_rolled_back() {
    play(async {
        let stage = Stage::new(|policy| {
            policy.databases[0].timeouts.statement = None;
            policy.databases[0].timeouts.transaction = Some(LIMIT);
        });
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        drop(time_out(&stage).await);
        server.send(&[complete("SELECT 1"), ready(b'T')]).await;
        client.expect("CZ", None).await;
        assert_eq!(server.expect("Q", None).await, b"ROLLBACK\0");
        server.send(&[complete("ROLLBACK"), ready(b'I')]).await;
        client.send(&[query("COMMIT")]).await;
        assert_eq!(client.expect("C", None).await, b"ROLLBACK\0");
        client.expect("Z", None).await;
    })
    .await;
}

//! A server that goes, and what its client still gets.

use super::{play, run};
use crate::worker::fixtures::{
    Stage, bind, complete, error, execute, message, parse, query, ready, settle, sync,
};

fn code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let field = text.split('\0').find(|field| field.starts_with('C'));
    field.unwrap()[1..].to_owned()
}

#[tokio::test]
async fn each_statement_that_was_sent_gets_its_error_and_its_ready() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1"), query("SELECT 2")]).await;
        server.expect("QQ", None).await;
        drop(server);
        assert_eq!(client.expect("EZEZ", None).await, b"I");
        // And the client goes on with another connection.
        client.send(&[query("SELECT 3")]).await;
        let mut other = stage.accept().await;
        other.expect("Q", None).await;
        other.send(&[complete("SELECT 1"), ready(b'I')]).await;
        client.expect("CZ", None).await;
    })
    .await;
}

#[tokio::test]
async fn the_servers_last_words_are_told_as_an_error_and_not_as_an_end() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        server
            .send(&[message(b'E', b"SFATAL\0VFATAL\0C57P01\0Mshutting down\0\0")])
            .await;
        drop(server);
        let body = client.expect("E", None).await;
        assert_eq!(code(&body), "57P01");
        assert!(String::from_utf8_lossy(&body).contains("VERROR"));
        client.expect("Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn an_open_transaction_is_one_that_has_failed_until_the_client_ends_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        drop(server);
        settle().await;
        // The reason comes with every answer until the client ends the transaction.
        client.send(&[query("SELECT 1")]).await;
        assert_eq!(code(&client.expect("E", None).await), "08006");
        assert_eq!(client.expect("Z", None).await, b"E");
        client.send(&[query("SELECT 1")]).await;
        assert_eq!(code(&client.expect("E", None).await), "08006");
        assert_eq!(client.expect("Z", None).await, b"E");
        client.send(&[query("ROLLBACK TO a")]).await;
        assert_eq!(code(&client.expect("E", None).await), "08006");
        assert_eq!(client.expect("Z", None).await, b"E");
        client.send(&[query("COMMIT")]).await;
        assert_eq!(client.expect("C", None).await, b"ROLLBACK\0");
        assert_eq!(client.expect("Z", None).await, b"I");
    })
    .await;
}

#[tokio::test]
async fn a_failed_transaction_is_ended_by_the_extended_protocol_too() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        drop(server);
        settle().await;
        client
            .send(&[parse("", "SELECT 1"), bind(""), execute(), sync()])
            .await;
        client.expect("E", None).await;
        assert_eq!(
            client.expect("Z", None).await,
            b"E",
            "one error, and the rest skipped"
        );
        client
            .send(&[parse("", "ROLLBACK"), bind(""), execute(), sync()])
            .await;
        client.expect("12C", None).await;
        assert_eq!(client.expect("Z", None).await, b"I");
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_was_begun_is_skipped_to_its_sync() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("", "SELECT 1"), bind("")]).await;
        server.expect("PB", None).await;
        drop(server);
        client.expect("E", None).await;
        client.send(&[execute(), sync()]).await;
        assert_eq!(client.expect("Z", None).await, b"I");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_has_deallocated_is_not_taken_to_be_in_a_batch() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("s1", "SELECT 1"), sync()]).await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        client.expect("1Z", None).await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        client.send(&[query("DEALLOCATE s1")]).await;
        client.expect("CZ", None).await;
        drop(server);
        settle().await;
        // Nothing unasked for; and a simple query is answered.
        client.send(&[query("ROLLBACK")]).await;
        assert_eq!(client.expect("C", None).await, b"ROLLBACK\0");
        client.expect("Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_message_cut_off_half_way_ends_the_client() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        let row = message(b'D', &[b'x'; 100]);
        server.send(&[row[..50].to_vec()]).await;
        settle().await;
        drop(server);
        // Nothing follows that could be taken for the row's rest.
        assert_eq!(client.rest().await, row[..50]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_is_not_used_again() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELECT 1")]).await;
        server.expect("Q", None).await;
        server.send(&[message(b'2', &[])]).await;
        client.expect("EZ", None).await;
        assert!(server.is_closed().await);
    })
    .await;
}

#[tokio::test]
async fn an_error_of_the_servers_passes_with_its_own_words() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[query("SELEC 1")]).await;
        server.expect("Q", None).await;
        server.send(&[error("42601"), ready(b'I')]).await;
        assert_eq!(code(&client.expect("E", None).await), "42601");
        client.expect("Z", None).await;
    })
    .await;
}

//! Prepared statements between a client's names and the server's.

use super::super::statements::STATEMENTS_PER_SERVER;
use super::{play, run};
use crate::worker::fixtures::{
    Stage, bind, complete, error, execute, message, parse, query, ready, settle, sync,
};

#[tokio::test]
async fn a_statement_that_the_server_knows_is_answered_without_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut first, mut server) = stage.greeted("alice").await;
        first.send(&[parse("a", "SELECT 1"), sync()]).await;
        let body = server.expect("P", None).await;
        assert!(body.starts_with(b"bh_"), "under a name of the sidecar's");
        server.expect("S", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        first.expect("1Z", None).await;
        settle().await;
        // Another client of the user's, another name, the same text.
        let (mut second, _) = stage.client("alice");
        second.expect("", Some("Z")).await;
        second
            .send(&[parse("b", "SELECT 1"), bind("b"), execute(), sync()])
            .await;
        server.expect("BES", None).await;
        server
            .send(&[message(b'2', &[]), complete("SELECT 1"), ready(b'I')])
            .await;
        second.expect("12CZ", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_statement_is_taught_to_each_connection_that_runs_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("a", "SELECT 1"), sync()]).await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        client.expect("1Z", None).await;
        drop(server);
        settle().await;
        client.send(&[bind("a"), execute(), sync()]).await;
        let mut other = stage.accept().await;
        other.expect("PBES", None).await;
        other
            .send(&[
                message(b'1', &[]),
                message(b'2', &[]),
                complete("SELECT 1"),
                ready(b'I'),
            ])
            .await;
        client.expect("2CZ", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_name_used_twice_and_a_name_never_given_are_refused_as_a_server_would() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client
            .send(&[parse("a", "SELECT 1"), parse("a", "SELECT 2"), sync()])
            .await;
        server.expect("PDS", None).await;
        server
            .send(&[message(b'1', &[]), error("26000"), ready(b'I')])
            .await;
        client.expect("1", None).await;
        let body = client.expect("E", None).await;
        assert!(String::from_utf8_lossy(&body).contains("42P05"));
        client.expect("Z", None).await;
        client.send(&[bind("nobody"), execute(), sync()]).await;
        server.expect("DES", None).await;
        server.send(&[error("26000"), ready(b'I')]).await;
        let body = client.expect("E", None).await;
        assert!(
            String::from_utf8_lossy(&body).contains("\\\"nobody\\\"".replace('\\', "").as_str())
        );
        client.expect("Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_statement_outlives_a_deallocate_that_a_failed_transaction_refuses() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("a", "SELECT 1"), sync()]).await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        client.expect("1Z", None).await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        for text in ["oops", "DEALLOCATE a"] {
            client.send(&[query(text)]).await;
            server.expect("Q", None).await;
            server.send(&[error("25P02"), ready(b'E')]).await;
            client.expect("EZ", None).await;
        }
        run(&mut client, &mut server, "ROLLBACK", "ROLLBACK", b'I').await;
        client.send(&[bind("a"), execute(), sync()]).await;
        server.expect("BES", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_name_whose_parse_was_skipped_can_be_given_again() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("a", "SELECT 1"), sync()]).await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        client.expect("1Z", None).await;
        // Given: a batch whose beginning fails, with a Parse behind it that needs no server.
        client
            .send(&[parse("", "oops"), parse("b", "SELECT 1"), sync()])
            .await;
        server.expect("PS", None).await;
        server.send(&[error("42601"), ready(b'I')]).await;
        client.expect("EZ", None).await;
        // Then: the name means nothing yet.
        client.send(&[parse("b", "SELECT 1"), sync()]).await;
        server.expect("S", None).await;
        server.send(&[ready(b'I')]).await;
        client.expect("1Z", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_statement_that_would_have_made_room_in_a_batch_that_failed_is_still_there() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        // Given: a connection that has learnt as much as it may.
        for number in 0..STATEMENTS_PER_SERVER {
            let text = format!("SELECT {number}");
            client
                .send(&[parse(&format!("s{number}"), &text), sync()])
                .await;
            server.expect("PS", None).await;
            server.send(&[message(b'1', &[]), ready(b'I')]).await;
            client.expect("1Z", None).await;
        }
        // When: others would take the place of two, and one of those is asked for at once, but the batch has failed before.
        client
            .send(&[
                parse("", "oops"),
                parse("a", "SELECT 'a'"),
                parse("b", "SELECT 'b'"),
                bind("s0"),
                sync(),
            ])
            .await;
        server.expect("PCPCPCPBS", None).await;
        server.send(&[error("42601"), ready(b'I')]).await;
        client.expect("EZ", None).await;
        // Then: the server is taught neither again.
        for name in ["s0", "s1"] {
            client.send(&[bind(name), execute(), sync()]).await;
            server.expect("BES", None).await;
            server
                .send(&[message(b'2', &[]), complete("SELECT 1"), ready(b'I')])
                .await;
            client.expect("2CZ", None).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_that_was_closed_and_given_again_in_a_batch_that_failed_means_what_it_did() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("a", "SELECT 1"), sync()]).await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        client.expect("1Z", None).await;
        client
            .send(&[
                parse("", "oops"),
                message(b'C', b"Sa\0"),
                parse("a", "SELECT 1"),
                sync(),
            ])
            .await;
        server.expect("PS", None).await;
        server.send(&[error("42601"), ready(b'I')]).await;
        client.expect("EZ", None).await;
        client.send(&[bind("a"), execute(), sync()]).await;
        server.expect("BES", None).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_behind_a_parse_that_needed_no_server_costs_no_connection() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        client.send(&[parse("a", "SELECT 1"), sync()]).await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        client.expect("1Z", None).await;
        settle().await;
        let (mut second, _) = stage.client("alice");
        second.expect("", Some("Z")).await;
        second
            .send(&[parse("b", "SELECT 1"), message(b'X', &[])])
            .await;
        // The connection is put in order by a Sync of the sidecar's, whose answer is enough.
        drop(stage.cancel_request().await);
        server.expect("S", None).await;
        server.send(&[ready(b'I')]).await;
        assert_eq!(server.expect("Q", None).await, b"DISCARD ALL\0");
    })
    .await;
}

#[tokio::test]
async fn an_unnamed_statement_too_long_to_be_kept_is_bound_while_its_connection_has_it() {
    play(async {
        let stage = Stage::new(|policy| policy.limits.memory_per_user = 1000);
        let (mut client, mut server) = stage.greeted("alice").await;
        let long = format!("SELECT '{}'", "x".repeat(2000));
        let describe = message(b'D', b"S\0");
        client
            .send(&[
                parse("", &long),
                describe.clone(),
                bind(""),
                execute(),
                sync(),
            ])
            .await;
        server.expect("PDBES", None).await;
        server
            .send(&[
                message(b'1', &[]),
                message(b't', &[0, 0]),
                message(b'n', &[]),
                message(b'2', &[]),
                complete("SELECT 1"),
                ready(b'I'),
            ])
            .await;
        client.expect("1tn2CZ", None).await;
        settle().await;
        // Still there: nobody has used the connection meanwhile.
        client.send(&[bind(""), sync()]).await;
        server.expect("BS", None).await;
        server.send(&[message(b'2', &[]), ready(b'I')]).await;
        client.expect("2Z", None).await;
        settle().await;
        // Another client has.
        let (mut second, _) = stage.client("alice");
        second.expect("", Some("Z")).await;
        second.send(&[parse("", "SELECT 2"), sync()]).await;
        server.expect("PS", None).await;
        server.send(&[message(b'1', &[]), ready(b'I')]).await;
        second.expect("1Z", None).await;
        settle().await;
        for asks in [bind(""), describe] {
            client.send(&[asks, sync()]).await;
            server.expect("DS", None).await;
            server.send(&[error("26000"), ready(b'I')]).await;
            let told = client.expect("E", None).await;
            let told = String::from_utf8_lossy(&told);
            assert!(
                told.contains("C54000") && told.contains("limits.memoryPerUser = 1000"),
                "{told}"
            );
            client.expect("Z", None).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_unnamed_statement_too_long_to_be_kept_that_the_server_refused_is_not_there() {
    play(async {
        let stage = Stage::new(|policy| policy.limits.memory_per_user = 1000);
        let (mut client, mut server) = stage.greeted("alice").await;
        client
            .send(&[parse("", &"oops ".repeat(500)), sync()])
            .await;
        server.expect("PS", None).await;
        server.send(&[error("42601"), ready(b'I')]).await;
        client.expect("EZ", None).await;
        client.send(&[bind(""), sync()]).await;
        server.expect("DS", None).await;
    })
    .await;
}

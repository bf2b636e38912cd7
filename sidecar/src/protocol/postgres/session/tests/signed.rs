//! What a server is told of a signed user, and when.

use std::time::Duration;

use bulkhead_crds::kinds::{PoolMode, RowLevelSecurity, SecretKeyRef};

use super::{pass, play, run};
use crate::worker::fixtures::{Peer, Stage, complete, error, message, query, ready, settle};

/// The fingerprint is that of the fixtures' key.
const ANSWER: &str =
    "1|77:16395:7:1795761425196508:33ecd2230acc4ae1bceefc46af20addd|1000000|k=719a81b6f3009912";

fn stage(mode: PoolMode) -> Stage {
    Stage::new(|policy| {
        let database = &mut policy.databases[0];
        database.pool.mode = mode;
        database.row_level_security = RowLevelSecurity::Signed;
        database.signing_key_secret_ref = Some(SecretKeyRef {
            name: "signing".to_owned(),
            key: None,
        });
        database.timeouts.idle = None;
        database.timeouts.lifetime = None;
    })
}

/// Begins a tenure, as the database does.
async fn answer_hello(server: &mut Peer, answer: &str) {
    let asked = server.expect("Q", None).await;
    assert_eq!(asked, b"BEGIN READ WRITE;SELECT bulkhead.hello();COMMIT\0");
    let length = u32::try_from(answer.len()).unwrap().to_be_bytes();
    let row = [&[0, 1][..], &length, answer.as_bytes()].concat();
    server
        .send(&[
            complete("BEGIN"),
            message(b'T', &[0, 0]),
            message(b'D', &row),
            complete("SELECT 1"),
            complete("COMMIT"),
            ready(b'I'),
        ])
        .await;
}

/// The claim that has come as a parameter; it is accepted.
async fn accept_claim(server: &mut Peer) -> String {
    let text = server.expect("P", None).await;
    assert!(text.starts_with(b"\0SELECT bulkhead.assert($1)\0"));
    let bind = server.expect("B", None).await;
    let claim = String::from_utf8(bind[10..bind.len() - 2].to_vec()).unwrap();
    server.expect("ES", None).await;
    server
        .send(&[
            message(b'1', &[]),
            message(b'2', &[]),
            message(b'D', &[0, 1, 0, 0, 0, 0]),
            complete("SELECT 1"),
            ready(b'I'),
        ])
        .await;
    claim
}

/// A client of alice's whose first statement has been answered, and its server.
async fn begun(stage: &Stage) -> (Peer, Peer) {
    let (mut client, _) = stage.client("alice");
    let mut server = stage.accept().await;
    answer_hello(&mut server, ANSWER).await;
    client.expect("RZ", Some("Z")).await;
    client.send(&[query("SELECT 1")]).await;
    let claim = accept_claim(&mut server).await;
    assert!(
        claim.starts_with("v1:k:77:16395:7:1795761425196508:33ecd2230acc4ae1bceefc46af20addd:"),
        "{claim}"
    );
    assert!(claim.contains(":616c696365:"), "{claim}");
    server.expect("Q", None).await;
    server.send(&[complete("SELECT 1"), ready(b'I')]).await;
    client.expect("CZ", None).await;
    settle().await;
    (client, server)
}

#[tokio::test]
async fn a_claim_goes_ahead_of_the_first_message_at_every_checkout() {
    play(async {
        let stage = stage(PoolMode::Transaction);
        let (mut client, mut server) = begun(&stage).await;
        for _ in 0..2 {
            client.send(&[query("SELECT 2")]).await;
            accept_claim(&mut server).await;
            server.expect("Q", None).await;
            server.send(&[complete("SELECT 1"), ready(b'I')]).await;
            client.expect("CZ", None).await;
            settle().await;
        }
    })
    .await;
}

#[tokio::test]
async fn on_a_connection_that_stays_a_claim_is_renewed_in_its_second_half() {
    play(async {
        let stage = stage(PoolMode::Session);
        let (mut client, mut server) = begun(&stage).await;
        run(&mut client, &mut server, "SELECT 2", "SELECT 1", b'I').await;
        pass(Duration::from_secs(5 * 60 + 1)).await;
        client.send(&[query("SELECT 3")]).await;
        accept_claim(&mut server).await;
        server.expect("Q", None).await;
        server.send(&[complete("SELECT 1"), ready(b'I')]).await;
        client.expect("CZ", None).await;
        settle().await;
        run(&mut client, &mut server, "SELECT 4", "SELECT 1", b'I').await;
    })
    .await;
}

#[tokio::test]
async fn a_session_that_has_discarded_its_tenure_begins_another() {
    play(async {
        let stage = stage(PoolMode::Session);
        let (mut client, mut server) = begun(&stage).await;
        for discard in ["DISCARD ALL", "DISCARD SEQUENCES"] {
            run(&mut client, &mut server, discard, discard, b'I').await;
            client.send(&[query("SELECT 2")]).await;
            let other = ANSWER.replace(":33ecd", ":44ecd");
            answer_hello(&mut server, &other).await;
            let claim = accept_claim(&mut server).await;
            assert!(claim.contains(":44ecd"), "{claim}");
            server.expect("Q", None).await;
            server.send(&[complete("SELECT 1"), ready(b'I')]).await;
            client.expect("CZ", None).await;
            settle().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_claim_that_is_refused_ends_the_connection_and_the_client_is_told_why() {
    play(async {
        let stage = stage(PoolMode::Transaction);
        let (mut client, mut server) = begun(&stage).await;
        client.send(&[query("SELECT 2")]).await;
        server.expect("PBESQ", None).await;
        server.send(&[error("28000"), ready(b'I')]).await;
        let told = client.expect("E", None).await;
        let told = String::from_utf8_lossy(&told);
        assert!(
            told.contains("the server said: no")
                && told.contains("databases[main].session.rowLevelSecurity = Signed"),
            "{told}"
        );
        client.expect("Z", None).await;
        assert!(server.is_closed().await);
    })
    .await;
}

#[tokio::test]
async fn a_session_that_stays_ends_where_it_gets_no_other_tenure() {
    play(async {
        let stage = stage(PoolMode::Session);
        let (mut client, mut server) = begun(&stage).await;
        run(
            &mut client,
            &mut server,
            "DISCARD SEQUENCES",
            "DISCARD SEQUENCES",
            b'I',
        )
        .await;
        client.send(&[query("SELECT 2")]).await;
        server.expect("Q", None).await;
        server.send(&[error("3F000"), ready(b'E')]).await;
        let told = client.expect("E", None).await;
        assert!(String::from_utf8_lossy(&told).contains("FATAL"));
        assert!(client.is_closed().await && server.is_closed().await);
    })
    .await;
}

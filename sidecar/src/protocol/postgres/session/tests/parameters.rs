//! SET, RESET and DISCARD, and what the next connection is told.

use super::{play, run};
use crate::worker::fixtures::{Peer, Stage, complete, query, ready, settle};

/// Runs a query on whatever the connection must be told before it; gives what it was told.
async fn told(client: &mut Peer, server: &mut Peer) -> String {
    client.send(&[query("SELECT 1")]).await;
    let mut told = String::new();
    loop {
        let text = String::from_utf8(server.expect("Q", None).await).unwrap();
        server.send(&[complete("SELECT 1"), ready(b'I')]).await;
        if text == "SELECT 1\0" {
            client.expect("CZ", None).await;
            settle().await;
            return told;
        }
        told = text.trim_end_matches('\0').to_owned();
    }
}

#[tokio::test]
async fn a_setting_follows_its_client_and_not_the_connection() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut first, mut server) = stage.greeted("alice").await;
        let (mut second, _) = stage.client("alice");
        second.expect("RKZ", None).await;
        run(
            &mut first,
            &mut server,
            "SET search_path TO app",
            "SET",
            b'I',
        )
        .await;
        let others = told(&mut second, &mut server).await;
        assert!(
            others.starts_with("RESET ALL;") && !others.contains("search_path"),
            "{others}"
        );
        let own = told(&mut first, &mut server).await;
        assert!(own.ends_with("SET \"search_path\" TO app;"), "{own}");
        assert_eq!(told(&mut first, &mut server).await, "", "once");
        assert_eq!(
            told(&mut second, &mut server).await,
            "RESET \"search_path\";"
        );
    })
    .await;
}

#[tokio::test]
async fn a_setting_that_was_reset_is_not_carried_on() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        for (text, tag) in [
            ("SET search_path TO app", "SET"),
            ("RESET search_path", "RESET"),
        ] {
            client.send(&[query(text)]).await;
            let mut said = server.expect("Q", None).await;
            if said.starts_with(b"RESET ALL;") {
                server.send(&[complete("RESET"), ready(b'I')]).await;
                said = server.expect("Q", None).await;
            }
            assert_eq!(said, [text.as_bytes(), &[0]].concat());
            server.send(&[complete(tag), ready(b'I')]).await;
            client.expect("CZ", None).await;
        }
        settle().await;
        let said = told(&mut client, &mut server).await;
        assert!(!said.contains("search_path"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_setting_inside_of_a_transaction_keeps_the_connection() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        run(
            &mut client,
            &mut server,
            "SET search_path TO app",
            "SET",
            b'T',
        )
        .await;
        run(&mut client, &mut server, "COMMIT", "COMMIT", b'I').await;
        assert_eq!(stage.factory("alice").idle(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_setting_of_the_transaction_alone_keeps_nothing() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "BEGIN", "BEGIN", b'T').await;
        run(
            &mut client,
            &mut server,
            "SET LOCAL search_path TO app",
            "SET",
            b'T',
        )
        .await;
        run(&mut client, &mut server, "COMMIT", "COMMIT", b'I').await;
        assert_eq!(stage.factory("alice").idle(), 1);
        assert_eq!(told(&mut client, &mut server).await, "");
    })
    .await;
}

#[tokio::test]
async fn discard_all_lets_a_pinned_connection_go() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut client, mut server) = stage.greeted("alice").await;
        run(&mut client, &mut server, "LISTEN x", "LISTEN", b'I').await;
        assert_eq!(stage.factory("alice").idle(), 0);
        run(&mut client, &mut server, "DISCARD ALL", "DISCARD ALL", b'I').await;
        assert_eq!(stage.factory("alice").idle(), 1);
    })
    .await;
}

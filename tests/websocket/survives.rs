//! A socket survives its connections: clients of ours behind a network that breaks a thousand of them, and an application that sees
//! nothing of it.

use bulkhead_tests::browser::Browser;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::tools::{Said, run_within};
use bulkhead_tests::websocket::{Cutter, Kind, Server, SocketStage};
use bulkhead_tests::{PATIENCE, programs};
use serde_json::{Value, json};
use tokio::process::Command;

/// Resumes of each of the two clients; together a thousand.
const RESUMES: u32 = 500;

/// A connection's life in bytes, both ways together. A handshake takes about a thousand: some end in it.
const LIFE: std::ops::Range<u32> = 500..6_000;

/// An application that numbers, behind a sidecar that resumes.
async fn numbering() -> (Server, SocketStage) {
    let server = Server::start(Kind::Numbering).await;
    let policy = Policy::trusted()
        .web_socket("{limits: {messagesPerSecond: 100000}, resume: {window: 60s, buffer: 256Ki}}");
    let stage = SocketStage::start(policy, server.port()).await;
    (server, stage)
}

/// Runs a client of the suite as `user`, by the network of `cutter`.
async fn client(mut command: Command, program: &str, cutter: &Cutter, user: &str) -> Said {
    command
        .arg(programs::of_suite("websocket").join(program))
        .arg(format!("ws://127.0.0.1:{}/numbers", cutter.port()))
        .args([user, &RESUMES.to_string()]);
    run_within(command, "", PATIENCE * 18).await
}

/// What a client that ended well has seen.
fn seen(said: Said) -> Value {
    let said = said.well();
    serde_json::from_str(said.strip_prefix("well ").unwrap()).unwrap()
}

#[tokio::test]
async fn a_thousand_connections_break_and_no_message_is_lost_or_doubled_or_out_of_order() {
    let (_server, stage) = numbering().await;
    let (one, other) = tokio::join!(
        Cutter::before(stage.port(), 0x5EED, LIFE),
        Cutter::before(stage.port(), 0xD1CE, LIFE)
    );
    let (node, modules) = programs::node();
    let mut node = Command::new(node);
    node.env("NODE_PATH", modules);
    let python = Command::new(programs::python_for_the_web());
    let (node, python) = tokio::join!(
        client(node, "numbering_client.mjs", &one, "alice"),
        client(python, "numbering_client.py", &other, "bob")
    );
    for (said, cutter) in [(node, &one), (python, &other)] {
        let seen = seen(said);
        assert_eq!(seen["protocol"], "numbers");
        let (resumed, cuts) = (seen["resumed"].as_u64().unwrap(), cutter.cuts());
        assert!(
            resumed >= u64::from(RESUMES) && cuts >= resumed,
            "{seen}, {cuts} cuts"
        );
        // Messages went both ways all the time.
        for count in ["sent", "heard"] {
            assert!(seen[count].as_u64() > Some(u64::from(RESUMES)), "{seen}");
        }
    }
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
}

#[tokio::test]
async fn a_page_in_a_browser_comes_back_and_has_missed_nothing() {
    let (server, stage) = numbering().await;
    let cutter = Cutter::before(stage.port(), 0xACE, LIFE).await;
    let mut browser = Browser::start().await;
    // The page comes from the application itself: the network is to break sockets, not files.
    let mut page = browser
        .open(&format!("http://127.0.0.1:{}/page", server.port()))
        .await;
    let seen = page
        .run(&format!(
            "const {{ BulkheadSocket }} = await import('/client/bulkhead-socket.js');
             const {{ number }} = await import('/programs/numbering.mjs');
             return number(BulkheadSocket, 'ws://127.0.0.1:{}/numbers', {{ token: () => 'alice' }}, 25);",
            cutter.port()
        ))
        .await;
    assert_eq!(seen["protocol"], "numbers");
    assert_eq!(seen["opened"], json!(1));
    assert!(
        seen["resumed"].as_u64() >= Some(25) && cutter.cuts() >= 25,
        "{seen}"
    );
}

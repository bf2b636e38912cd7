//! The client libraries of this repository: their own tests, their types, and what they are where nothing resumes.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::programs;
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::tools::{run, run_within};
use bulkhead_tests::websocket::{Kind, Server, SocketStage};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::process::Command;

#[tokio::test]
async fn the_javascript_client_passes_its_own_tests() {
    let mut command = Command::new(programs::node().0);
    command
        .arg("--test")
        .arg(programs::client_library("javascript").join("test/"));
    run(command, "").await.check();
}

#[tokio::test]
async fn the_javascript_clients_types_are_what_a_typescript_program_needs() {
    let (node, compiler) = programs::typescript();
    let mut command = Command::new(node);
    command
        .arg(compiler)
        .args(["--noEmit", "--strict", "--target", "es2022"])
        .args(["--module", "nodenext", "--lib", "es2022,dom"])
        .arg("test/types.ts")
        .current_dir(programs::client_library("javascript"));
    let said = run(command, "").await;
    assert!(said.success, "{}", said.output);
}

#[tokio::test]
async fn the_python_client_passes_its_own_tests() {
    let mut command = Command::new(programs::python_for_the_web());
    command
        .args(["-B", "-m", "unittest", "discover", "-s", "tests"])
        .current_dir(programs::client_library("python"));
    run(command, "").await.check();
}

/// Each client talks to an echo, loses its application in mid-talk, is told so, and goes on; refused, it does not come back.
#[tokio::test]
async fn without_resume_they_are_plain_sockets_that_come_back_and_say_what_may_be_missing() {
    let server = Server::start(Kind::Node).await;
    let port = server.port();
    let policy = Policy::trusted().web_socket("{resume: {window: 0s}, timeouts: {coldStart: 8s}}");
    let stage = SocketStage::start(policy, port).await;
    let killing = async {
        stage.until_metric("bulkhead_connections", &[], 2.0).await;
        bulkhead_tests::wait::until("an echo of each", || async {
            let to_client = [("direction", "application_to_client")];
            stage
                .sidecar
                .metric("bulkhead_websocket_messages_total", &to_client)
                > 1.5
        })
        .await;
        server.kill();
        Server::at(Kind::Node, port).await
    };
    let (javascript, python, _server) = tokio::join!(
        stage.node("plain_client.mjs", "alice"),
        stage.python("plain_client.py", "bob"),
        killing
    );
    assert_eq!(javascript.well(), "well not resumable 1006 401\n");
    assert_eq!(python.well(), "well not resumable 401\n");
}

/// Seconds for which the first token is good, and after which a socket that has brought no other would be long gone.
const FIRST: i64 = 8;
const LATER: &str = "12";

#[tokio::test]
async fn they_bring_a_fresh_token_in_band_before_theirs_expires() {
    let server = Server::start(Kind::Node).await;
    let signer = Signer::new("one", Algorithm::EdDSA);
    let policy = Policy::jwt("{jwks: {secretRef: {name: keys}}, audiences: [chat], leeway: 0s}")
        .web_socket("{resume: {window: 60s}, timeouts: {expiryGrace: 1s}}");
    let stage = SocketStage::with(policy, server.port())
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    let token = |user: &str, seconds| {
        signer.sign(&json!({"sub": user, "iss": "https://issuer.test", "aud": "chat", "exp": seconds_from_now(seconds)}))
    };
    let url = format!("ws://127.0.0.1:{}/ws", stage.port());
    let told = |mut command: Command, program: &str, user: &str| {
        command
            .arg(programs::of_suite("websocket").join(program))
            .args([&url, &token(user, FIRST), &token(user, 600)])
            .arg(LATER);
        async move { run_within(command, "", bulkhead_tests::PATIENCE * 3).await }
    };
    let (node, modules) = programs::node();
    let mut node = Command::new(node);
    node.env("NODE_PATH", modules);
    let (javascript, python) = tokio::join!(
        told(node, "renewing_client.mjs", "alice"),
        told(
            Command::new(programs::python_for_the_web()),
            "renewing_client.py",
            "bob"
        )
    );
    assert_eq!(javascript.well(), "well still here 0\n");
    assert_eq!(python.well(), "well still here 0\n");
}

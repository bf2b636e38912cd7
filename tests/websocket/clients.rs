//! The client libraries of this repository: their own tests, their types, and what they are where nothing resumes.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::programs;
use bulkhead_tests::tools::run;
use bulkhead_tests::websocket::{Kind, Server, SocketStage};
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

//! The examples of `examples/identity`, each as its users run it. The Rust one has its own test beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use bulkhead_tests::programs::{drivers, python};
use bulkhead_tests::requests::{serves, serves_with_pool};

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/identity")
        .join(path)
}

fn in_python(path: &str) -> Command {
    let mut command = Command::new(python());
    command.arg("-B").arg(example(path));
    command
}

#[tokio::test]
async fn python_with_a_connection_for_each_request() {
    serves(in_python("python/connect.py")).await;
}

#[tokio::test]
async fn python_with_sqlalchemys_pool() {
    serves_with_pool(in_python("python/checkout.py")).await;
}

#[tokio::test]
async fn node_with_a_connection_for_each_request() {
    serves(drivers::node(&example("node/connect.mjs"))).await;
}

#[tokio::test]
async fn node_with_node_postgres_pool() {
    serves_with_pool(drivers::node(&example("node/checkout.mjs"))).await;
}

#[tokio::test]
async fn go_with_a_connection_for_each_request() {
    serves(Command::new(drivers::go(&example("go"), "connect"))).await;
}

#[tokio::test]
async fn go_with_pgxpool() {
    serves_with_pool(Command::new(drivers::go(&example("go"), "checkout"))).await;
}

#[tokio::test]
async fn java_with_a_connection_for_each_request() {
    serves(drivers::java(&example("java/Connect.java"))).await;
}

#[tokio::test]
async fn java_with_hikaricp() {
    serves_with_pool(drivers::java(&example("java/Checkout.java"))).await;
}

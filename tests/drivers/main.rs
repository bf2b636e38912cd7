//! The suite of drivers: what applications do with them, in each pool mode, with the user named by a context token in the start-up
//! options. One file a language; the programs are in `programs/`, and what each has to show is [`CHECKS`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

mod command_line;
mod examples;
mod go;
mod java;
mod node;
mod python;
mod sqlx;
mod suites;
mod switch;
mod tokio_postgres;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::tools::run_within;
use jsonwebtoken::Algorithm;
use serde_json::json;

/// What every program shows, in this order: each check ends with a line `ok NAME`.
const CHECKS: [&str; 12] = [
    "connect",
    "queries",
    "prepared",
    "transactions",
    "pipeline",
    "copy",
    "listen",
    "cancel",
    "errors",
    "binary",
    "big rows",
    "pool",
];

/// Users beside alice, all of whom work at once in the check `pool`.
const OTHERS: usize = 15;

/// A program ends well within this on a busy machine, or hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// The users of a stage, each with their context token.
type Tokens = BTreeMap<String, String>;

/// A sidecar in mode Transaction, with fewer server connections than all users want at once.
fn transaction_mode() -> Policy {
    Policy::signed_context()
        .pool("maxConnections: 40, perUser: {max: 4}")
        .timeouts("acquire: 60s")
}

/// The same in tier Reset, where server connections go from user to user.
fn reset() -> Policy {
    transaction_mode().tier("Reset")
}

/// A sidecar in mode Session, where a client holds its server connection: there must be enough for all.
fn session_mode() -> Policy {
    transaction_mode()
        .in_session_mode()
        .pool("maxConnections: 100")
}

/// A stage whose users are alice and [`OTHERS`] more.
async fn stage(policy: Policy) -> (Stage, Tokens) {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let stage = Stage::with(policy)
        .secret("bulkhead-context-keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    let users = (1..=OTHERS).map(|number| format!("user-{number}"));
    let token = |user: String| {
        let claims = json!({"sub": user, "aud": "chat", "exp": seconds_from_now(600)});
        let token = signer.sign(&claims);
        (user, token)
    };
    let tokens = std::iter::once("alice".to_owned()).chain(users).map(token);
    (stage, tokens.collect())
}

/// What a program finds in its environment.
fn environment(program: &mut Command, stage: &Stage, tokens: &Tokens) {
    program
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", stage.sidecar.port().to_string())
        .env("PGUSER", APP_ROLE)
        .env("PGDATABASE", &stage.database)
        .env("PGSSLMODE", "disable")
        .env("CONTEXTS", json!(tokens).to_string());
}

/// Runs a driver's program through a sidecar with `policy`, and holds it to [`CHECKS`].
async fn behaves(policy: Policy, mut program: Command) {
    let (stage, tokens) = stage(policy).await;
    environment(&mut program, &stage, &tokens);
    let said = run_within(program.into(), "", PATIENCE).await;
    let shown: Vec<_> = said
        .output
        .lines()
        .filter_map(|line| line.strip_prefix("ok "))
        .collect();
    assert!(said.success, "after {shown:?}:\n{}", said.errors);
    assert_eq!(shown, CHECKS);
}

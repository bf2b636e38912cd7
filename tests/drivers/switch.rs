//! Pools whose transactions say in SQL whose they are, by context tokens, switching users at random a thousand times; every other
//! checkout forgets to say so. Python's pools and sqlx do the like in `tests/postgres/in_sql`.

use std::process::Command;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::programs::{drivers, of_suite};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools::run_within;

use crate::{PATIENCE, environment, reset, stage, transaction_mode};

/// Runs a program that switches users over a sidecar with `policy`, before a database in which each user has one row.
async fn switches(policy: Policy, mut program: Command) -> Stage {
    let (stage, tokens) = stage(policy.spec("identity: {inSql: {}}")).await;
    let admin = stage.admin().await;
    for user in tokens.keys() {
        admin
            .run(&format!(
                "INSERT INTO notes (owner, body) VALUES ('{user}', 'of {user}')"
            ))
            .await;
    }
    environment(&mut program, &stage, &tokens);
    let said = run_within(program.into(), "", PATIENCE).await;
    assert!(said.success, "{}", said.errors);
    assert_eq!(said.output, "done\n");
    stage
}

#[tokio::test]
async fn pgx_pool_switches_a_thousand_times() {
    let stage = switches(transaction_mode(), go()).await;
    assert!(stage.cross_user_handoffs() < 0.5);
}

#[tokio::test]
async fn pgx_pool_switches_a_thousand_times_in_tier_reset() {
    switches(reset(), go()).await;
}

#[tokio::test]
async fn hikaricp_switches_a_thousand_times() {
    let stage = switches(transaction_mode(), java()).await;
    assert!(stage.cross_user_handoffs() < 0.5);
}

#[tokio::test]
async fn hikaricp_switches_a_thousand_times_in_tier_reset() {
    switches(reset(), java()).await;
}

#[tokio::test]
async fn node_postgres_pool_switches_a_thousand_times() {
    let stage = switches(transaction_mode(), node()).await;
    assert!(stage.cross_user_handoffs() < 0.5);
}

#[tokio::test]
async fn node_postgres_pool_switches_a_thousand_times_in_tier_reset() {
    switches(reset(), node()).await;
}

fn go() -> Command {
    Command::new(drivers::go(&of_suite("drivers").join("go"), "switch"))
}

fn java() -> Command {
    drivers::java(&of_suite("drivers").join("java/Switch.java"))
}

fn node() -> Command {
    drivers::node(&of_suite("drivers").join("node/switch.mjs"))
}

//! psycopg 3, asyncpg and SQLAlchemy, with their pools.

use std::process::Command;

use bulkhead_tests::programs::{of_suite, python};

use crate::{behaves, reset, session_mode, transaction_mode};

fn program(name: &str) -> Command {
    let mut command = Command::new(python());
    command
        .arg("-B")
        .arg(of_suite("drivers").join("python").join(name));
    command
}

#[tokio::test]
async fn psycopg_works_in_transaction_mode() {
    behaves(transaction_mode(), program("with_psycopg.py")).await;
}

#[tokio::test]
async fn psycopg_works_in_session_mode() {
    behaves(session_mode(), program("with_psycopg.py")).await;
}

#[tokio::test]
async fn psycopg_works_in_tier_reset() {
    behaves(reset(), program("with_psycopg.py")).await;
}

#[tokio::test]
async fn asyncpg_works_in_transaction_mode() {
    behaves(transaction_mode(), program("with_asyncpg.py")).await;
}

#[tokio::test]
async fn asyncpg_works_in_session_mode() {
    behaves(session_mode(), program("with_asyncpg.py")).await;
}

#[tokio::test]
async fn asyncpg_works_in_tier_reset() {
    behaves(reset(), program("with_asyncpg.py")).await;
}

#[tokio::test]
async fn sqlalchemy_works_in_transaction_mode() {
    behaves(transaction_mode(), program("with_sqlalchemy.py")).await;
}

#[tokio::test]
async fn sqlalchemy_works_in_session_mode() {
    behaves(session_mode(), program("with_sqlalchemy.py")).await;
}

#[tokio::test]
async fn sqlalchemy_works_in_tier_reset() {
    behaves(reset(), program("with_sqlalchemy.py")).await;
}

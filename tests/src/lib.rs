//! The harness of the end-to-end suites: real servers, the real sidecar, real clients.
//!
//! ```text
//! pod ─┬─ volume        what the kubelet mounts: files that change all at once
//!      │
//! stage ─┬─ postgres   a server of our own, one database a test
//!        ├─ policy     the policy file that the sidecar is given
//!        ├─ sidecar ── logs, metrics
//!        └─ session    tokio-postgres │ wire: raw messages │ tools: psql, pgbench, psycopg
//! names:     a name server whose answers change
//! websocket: applications and clients that speak it, and the sidecar between them
//! redis:     a redis-server of our own, and raw connections
//! browser:   a Chromium, and what it is told
//! cluster:   a real Kubernetes control plane
//! control_group: a limit of memory that a test sets
//! processes: whatever was started ends with the test process, however that ends
//! wait:      conditions with a bound, instead of sleeps
//! ```
//!
//! What does not live here: assertions about behaviour. They stand in the suites (`tests/postgres/`), one file a behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness reports a broken world by ending the test"
)]

pub mod admin;
pub mod browser;
pub mod certificates;
pub mod clickhouse;
pub mod cluster;
pub mod control_group;
pub mod dice;
pub mod listeners;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod operator;
pub mod pod;
pub mod policy;
pub mod postgres;
pub mod processes;
pub mod programs;
pub mod redis;
pub mod refusal;
pub mod requests;
pub mod session;
pub mod sidecar;
pub mod stage;
pub mod tokens;
pub mod tools;
pub mod volume;
pub mod wait;
pub mod websocket;
pub mod wire;

/// The longest that a test waits for anything that ought to happen.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

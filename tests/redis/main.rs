//! The suites for Redis: what the sidecar knows of its commands, and what it does with them, against a real redis-server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

mod across_users;
mod examples;
mod hostile_scripts;
mod key_positions;
mod protocol_errors;
mod random_walks;
mod same_answers;
mod subscribers;
mod table;
mod through;
mod user;

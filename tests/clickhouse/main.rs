//! The suites for ClickHouse: one file a behaviour, all in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

mod cancel;
mod clients;
mod encryption;
mod engine;
mod failures;
mod fixed;
mod hostile;
mod identity;
mod limits;
mod per_user;
mod served;
mod sessions;
mod streaming;
mod timeouts;

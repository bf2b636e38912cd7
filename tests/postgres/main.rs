//! The suites for PostgreSQL: one file a behaviour, all in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

mod big_rows;
mod cancel;
mod copy;
mod direct;
mod identity;
mod isolation;
mod pipelines;
mod prepared;
mod timeouts;
mod unasked;

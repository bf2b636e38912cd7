//! The upstream room against real PostgreSQL servers, and against servers that no one should meet.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should say where"
)]

mod addresses;
mod authentication;
mod cancel;
mod encryption;
mod hostile;
mod hosts;
mod probe;
mod support;

//! The suite for WebSockets, and for everything else that comes through the application's port: one file a behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

mod closes;
mod cold_start;
mod conformance;
mod drain;
mod echo;
mod forged;
mod load;
mod patience;
mod plain;
mod refusals;
mod slow;
mod tokens;
mod told;

//! The suite for WebSockets, and for everything else that comes through the application's port: one file a behaviour.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

mod administrator;
mod browser;
mod clients;
mod closes;
mod cold_start;
mod compression;
mod conformance;
mod drain;
mod echo;
mod forged;
mod http2;
mod keys;
mod killed;
mod live_policy;
mod load;
mod patience;
mod peers;
mod plain;
mod pods;
mod reading;
mod refusals;
mod renewal;
mod resume;
mod resume_anywhere;
mod revoked;
mod slow;
mod streams;
mod survives;
mod tokens;
mod told;

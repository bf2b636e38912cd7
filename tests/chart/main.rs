//! What the chart promises: rendered by helm, and held against the API server, Prometheus and its own documentation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects, and ends where it does not hold"
)]

mod alerts;
mod api_server;
mod dashboards;
mod definitions;
mod metrics;
mod render;
mod rights;
mod snapshots;
mod values;

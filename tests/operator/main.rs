//! What the operator promises, against a real Kubernetes control plane. Each behaviour has its own file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects, and ends where it does not hold"
)]

mod command_line;
mod control_plane;
mod injection;
mod reconcile;
mod sarif;
mod serve;

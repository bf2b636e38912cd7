//! What is promised of pods that run, on a whole node. Each behaviour has its own file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects, and ends where it does not hold"
)]

mod anywhere;
mod chart;
mod edit;
mod images;
mod pods;
mod teardown;

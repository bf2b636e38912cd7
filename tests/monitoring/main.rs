//! Prometheus at work: a real one with the rules of the chart, real sidecars and a real operator that it scrapes, faults that are made, and
//! the alerts that come of them, as far as the receiver's door.
//!
//! ```text
//! rules         the chart's file, with every duration a sixtieth
//! prometheus    the server: what it scrapes, what fires
//! receiver      Alertmanager, and the webhook that it calls
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects, and ends where it does not hold"
)]

mod dashboards;
mod databases;
mod delivery;
mod limits;
mod operator;
mod prometheus;
mod receiver;
mod rules;
mod series;

//! Redis and Valkey: RESP2 and RESP3, from a client's command to the server and back, under the policy of an end user.
//!
//! ```text
//! client → codec: one command → plan ─┬ refused: its error
//!                                     ├ kept:    answered by the sidecar
//!                                     └ passed:  as it came, or with prefixes → server → codec: one reply → prefix: without them → client
//! ```
//!
//! [`codec`], [`commands`], [`plan`] and [`prefix`] are pure.

pub mod codec;
pub mod commands;
pub mod plan;
pub mod prefix;

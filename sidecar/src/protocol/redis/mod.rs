//! Redis and Valkey: RESP2 and RESP3, from a client's command to the server and back, under the policy of an end user.
//!
//! ```text
//! client → codec: one command → plan ─┬ refused: its error
//!                                     ├ kept:    answered by the sidecar
//!                                     └ passed:  as it came, or with prefixes → server → codec: one reply → prefix: without them → client
//! ```
//!
//! A client's way: `arrival` (until it has said whose work it brings: `greeting`, `admission`), then `session` on the worker of its user. The
//! server's side: `login`, `per_user` (the connection becomes its user's, with what the [`Catalogue`] allows), [`Far`] (what is known of its
//! session) and `versions`; `talk` is how the sidecar itself speaks there. [`codec`], [`commands`], [`plan`] and [`prefix`] are pure.

mod admission;
mod arrival;
mod catalogue;
mod client;
pub mod codec;
pub mod commands;
mod failure;
mod far;
mod greeting;
mod hello;
mod listening;
mod login;
mod per_user;
pub mod plan;
pub mod prefix;
mod probe;
mod session;
mod talk;
mod versions;

pub use admission::Admitted;
pub use arrival::welcome;
pub use catalogue::Catalogue;
pub use far::Far;
pub use login::log_in;
pub use probe::{ProbeReport, probe};
pub use session::serve;

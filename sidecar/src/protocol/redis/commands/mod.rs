//! Every command that Bulkhead knows, and what becomes of it.
//!
//! ```text
//! server.rs   what redis-server says of its commands (generated)     ┐
//! newer.rs    what came after it, by hand                            ├─ joined by name → table → find
//! treatment/  what Bulkhead does with each, by hand                  ┘
//! ```
//!
//! Pure. docs/redis-commands.md is written from the same table.

mod document;
mod effect;
mod facts;
mod newer;
mod refusal;
mod server;
mod table;
mod treatment;

pub use document::document;
pub use effect::{Effect, Kept, SubscribesTo, Subscription, Timeout, Transaction, Unit, Wait};
pub use facts::{Begin, Facts, Find, KeySpec};
pub use refusal::{Refusal, Why};
pub use table::{Command, all, find};
pub use treatment::{Form, Rule, Shape, Treatment};

//! The `IsolationPolicy` kind: what a policy may say, whether it makes sense, and what one environment gets of it.
//!
//! ```text
//!   a file ── load ──┐                                      ┌── explain ── rows for people
//!                    ├── IsolationPolicy ── resolve ── EffectivePolicy
//!   the cluster ─────┘        │                             └── wire ── a snapshot for a sidecar
//!                          validate ── findings, errors first
//! ```
//!
//! - [`kinds`]: the types, with bounds and what CEL can check. [`schema`]: the schema that they make, the only list of fields.
//! - [`mod@load`]: text to a policy; hostile YAML, unknown fields and values of the wrong type end here.
//! - `assemble`: base + overlay + defaults to an [`effective::EffectivePolicy`], each field with its origin, and no judgement yet.
//! - [`mod@validate`]: one table of rules, for the webhook, the command line and the sidecar alike; it judges what is written and what is
//!   assembled, and says so in `findings`.
//! - [`mod@resolve`]: what is assembled for one environment, if it is sound.
//! - [`conditions`]: what a policy's status may say, and why.
//! - [`revocations`]: which of the `UserRevocation`s of a namespace are in force, as the list that its sidecars read.
//! - [`wire`]: the versioned snapshot by which the operator hands that to a sidecar.
//!
//! Each looks only at those named before it: names, kinds, schema, load, effective, assemble, validate, resolve, wire. Everything here is
//! pure: no I/O, no clock, no cluster.

mod assemble;
pub mod conditions;
pub mod effective;
mod findings;
pub mod kinds;
pub mod load;
pub mod names;
pub mod resolve;
pub mod revocations;
pub mod schema;
pub mod validate;
pub mod wire;

pub use effective::EffectivePolicy;
pub use findings::{Finding, Severity};
pub use kinds::{IsolationPolicy, UserRevocation};
pub use load::{LoadError, load};
pub use resolve::{compare, explain, resolve};
pub use validate::validate;

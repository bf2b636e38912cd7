//! ClickHouse over its HTTP interface: each request is a user's, and runs on a server connection of that user's own.
//!
//! ```text
//! front: a client connection ─ request ─ identity ─ settings ┐ the worker that accepted it
//!        ┌ query: factory ─ checkout ─ rewrite ─ wire ────────┘ the user's worker
//!        └ answer, piece by piece ─→ client               kill: whatever nobody waits for
//! ```
//!
//! Pure: `request` says what is asked for, `parameters` reads and writes addresses, `identity` finds who says what, `settings` and
//! `statement` know what a client may change, `rewrite` makes the head that travels on, `error` has ClickHouse's form.
//!
//! With bytes: `front` is a client's connection, `query` one request on its user's worker and `converse` its exchange with the server,
//! `wire` HTTP on a borrowed connection, `body` what is passed on, `ask` what the sidecar itself asks, `health` what is answered for anybody,
//! `probe` what `check` asks.

mod ask;
mod body;
mod converse;
mod error;
mod front;
mod health;
mod identity;
mod parameters;
mod probe;
mod query;
mod request;
mod rewrite;
mod settings;
mod statement;
mod wire;

pub use ask::Knowledge;
pub use front::welcome;
pub use probe::{ClickHouseProbeError, Probed, probe};
pub use query::{Asked, serve};

//! The Bulkhead sidecar: stands between an application and its databases, and gives every end user a connection factory
//! of their own.
//!
//! The rooms, in the order in which a query walks through them:
//!
//! ```text
//! accept → protocol/postgres/handshake → identity → policy → session → factory/checkout → upstream/connect → relay
//! ```

pub mod admin;
pub mod cli;
pub mod execution;
pub mod identity;
pub mod policy;
pub mod protocol;
pub mod secrets;
pub mod stream;
pub mod telemetry;
pub mod upstream;

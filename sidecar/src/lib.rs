//! The Bulkhead sidecar: stands between an application and its databases, and gives every end user a connection factory
//! of their own.
//!
//! The rooms, in the order in which a query walks through them:
//!
//! ```text
//! accept → protocol/postgres/{arrival, handshake} → identity → admission → protocol/postgres/session → factory/checkout → upstream/connect → relay
//! ```

pub mod accept;
pub mod admin;
pub mod admission;
pub mod attribution;
pub mod audit;
pub mod breaker;
pub mod certificate;
pub mod cli;
pub mod control_group;
pub mod deadline;
pub mod error_class;
pub mod execution;
pub mod factory;
pub mod force;
pub mod identity;
pub mod jitter;
pub mod ledger;
pub mod listen;
pub mod policy;
pub mod process;
pub mod protocol;
pub mod prove;
pub mod random;
pub mod relay;
pub mod run;
pub mod secrets;
pub mod signed;
pub mod stream;
pub mod telemetry;
pub mod upstream;
pub mod work;
pub mod worker;

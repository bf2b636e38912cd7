//! What the sidecar dials: from a policy's `upstream` to a PostgreSQL connection that is ready for queries.
//!
//! The stations, in the order of the way: [`resolve`] (DNS, never the hosts file), `dial` (TCP or a Unix socket), `tls`,
//! `startup` (startup message to `ReadyForQuery`) with `authenticate` and `scram` inside it. [`connect`] walks them under
//! one deadline, `rounds` over the hosts of the list until one will do (`fitness`), `host` over the addresses of one; [`site`] and
//! `names` say which connections lead to where nobody should be any more; [`cancel`] goes the short way to the same address. [`probe`](mod@probe) asks a server, through sqlx, what may surprise its
//! users, and [`finding`] says how to mend it. May not live here: pools, retries, breakers, and
//! anything about clients.

mod authenticate;
pub(crate) mod binding;
mod bridge;
pub mod cancel;
mod clock;
pub mod connect;
mod credentials;
pub mod dial;
pub mod error;
pub mod finding;
mod fitness;
mod health;
mod host;
mod names;
pub mod probe;
pub mod resolve;
mod rounds;
mod scram;
pub mod server_error;
pub mod site;
pub mod socket;
mod startup;
mod tls;
mod verify;
mod watch;
mod wire;

pub use cancel::CancelTarget;
pub use connect::{ConnectRequest, Connector, Established};
pub use error::{Attempt, ConnectError, Endpoint, Stage, UpstreamError};
pub use probe::{ProbeError, ProbeReport, probe};
pub use resolve::{Pin, Resolver};
pub use server_error::ErrorFields;
pub use site::Standing;

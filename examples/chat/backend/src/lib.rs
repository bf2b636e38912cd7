//! A small chat backend: many users, one PostgreSQL, one process. What an application has to do to run behind Bulkhead, and no more.
//!
//! ```text
//! serve ── routes ─┬ database    one connection a request, which says whose it is: options=-c bulkhead.user=ID
//!                  ├ failure     what the database answered, as an HTTP status
//!                  ├ room        a WebSocket a client; the sidecar says who they are
//!                  └ page        what a browser shows
//! talk                           the other end of such a WebSocket, in a terminal
//! ```
//!
//! There is no pool in here, no timeout and no database password: the sidecar has all three, and a policy says what they are. The
//! connection string names the database (`host=db`), as it would without a sidecar; injection turns that name to the sidecar.

pub mod database;
pub mod failure;
mod page;
pub mod room;
mod routes;
pub mod serve;
pub mod talk;

pub use database::{Database, Who};
pub use failure::Failure;
pub use room::Room;
pub use serve::serve;
pub use talk::talk;

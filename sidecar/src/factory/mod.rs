//! Connection factories: what one user may open towards one upstream.
//!
//! ```text
//! Limiter (one an upstream, all workers)     permits, a turn for who has least, who must yield
//!   └ Lane (one a database and role, a worker)   spares: authenticated, never used
//!       └ Factory (one a FactoryKey, a worker)   idle connections of one owner, its waiters
//!           └ Spare → Owned → Server             a server connection, typed by whose it is
//! ```
//!
//! A [`Spare`](server::Spare) has no owner and cannot run a statement for anybody; claiming it gives an
//! [`Owned`](server::Owned), whose owner never changes while it lives. The one way from one owner to another, on whatever worker,
//! leads through [`Soiled`](server::Soiled), which can only be cleaned, and
//! [`Cleansed`](crate::protocol::postgres::session::restore::Cleansed); it exists for the tier `Reset` alone, and counts.

mod backoff;
pub mod begin;
pub mod cancels;
pub mod checkout;
pub mod fairness;
pub mod handover;
pub mod janitor;
pub mod key;
pub mod lane;
#[cfg(test)]
mod model;
pub mod parking;
pub mod pool;
pub mod register;
pub mod seats;
pub mod server;
pub mod steering;
mod turns;

//! WebSockets (RFC 6455): from a client's request to the application and back, under the policy of an end user.
//!
//! ```text
//! accept → http ─┬ plain requests ───────────────────────────────→ application
//!                └ upgrade: handshake → identity → seat → application → session (on the user's worker)
//! ```
//!
//! [`handshake`], [`codec`], [`events`] and [`runs`] are pure. [`http`] is the front door and the way to the application, [`session`] the relay between two
//! sockets that have upgraded. [`entry`] is an entry of the policy on one worker, [`user`] what one user has of it.

mod bucket;
pub mod codec;
mod credential;
pub mod entry;
pub mod events;
pub mod handshake;
pub mod http;
pub mod resume;
pub mod runs;
mod seat;
pub mod session;
mod upgraded;
pub mod user;

pub use credential::{Credential, NotTheirs};
pub use entry::SocketEntry;
pub use seat::{NoSeat, Seat};
pub use session::serve as serve_socket;
pub use upgraded::{Resumes, Upgraded};

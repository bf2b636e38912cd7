//! The front door: everything that comes to the application's port comes here first. WebSockets get the engine, every other request is
//! passed on as it is.
//!
//! - `front`: one client connection, HTTP/1.1 or HTTP/2 without TLS, and what becomes of each request on it.
//! - `caller`: for whom a request is.
//! - `introduce`: what the application is told of it.
//! - `returning`: a client that comes back to a session which has survived its connection.
//! - `upgrade`: a request for a WebSocket, up to the moment at which both sides have upgraded.
//! - `renewal`: a fresh token for sockets that are open.
//! - `plain`: every other request.
//! - `peers`: other pods, where a client's session may live.
//! - `application`: the way to the application.

mod application;
mod body;
mod caller;
mod front;
mod introduce;
mod peers;
mod plain;
mod renewal;
mod returning;
mod upgrade;

pub use application::Application;
pub use front::serve;
pub use peers::{PeerTls, PeerTlsError, serve_peer};

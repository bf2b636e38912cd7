//! Applications and clients that speak WebSocket, with the sidecar between them.
//!
//! ```text
//! client ── Asking, Answer, Peer ──→ stage: the sidecar ──→ application: written in the test, byte by byte
//!        └─ programs (Python, Node)                     └─→ servers: websockets, Starlette on uvicorn, ws on Node …
//! between a client and the sidecar, where a test wants it: cutter, a network that breaks
//! ```
//!
//! [`frames`] is a codec of its own: what the sidecar is held to must not be its own code.

pub mod application;
pub mod client;
pub mod cutter;
pub mod frames;
pub mod front;
pub mod peer;
pub mod resumer;
pub mod servers;
pub mod stage;

pub use application::Application;
pub use client::{Answer, Asking};
pub use cutter::Cutter;
pub use frames::Frame;
pub use front::Front;
pub use peer::Peer;
pub use servers::{Kind, Server};
pub use stage::SocketStage;

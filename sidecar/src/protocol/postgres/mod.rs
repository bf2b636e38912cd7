//! The PostgreSQL frontend/backend protocol, versions 3.0 and 3.2.

pub mod admission;
pub mod arrival;
pub mod codec;
pub mod error_response;
pub mod handshake;
pub mod isolate;
pub mod message;
pub mod scram;
pub mod session;
pub mod statement_text;

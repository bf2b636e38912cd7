//! The wire protocols. Each has the same rooms: codec, message, handshake, session, isolate.

pub mod clickhouse;
pub mod postgres;
pub mod redis;
pub mod websocket;

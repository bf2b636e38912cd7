//! The upstream room against real PostgreSQL servers, and against servers that no one should meet.

mod addresses;
mod authentication;
mod cancel;
mod encryption;
mod hostile;
mod support;

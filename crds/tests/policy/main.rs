//! What a policy means, from its text to what a sidecar goes by. A file a behaviour.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod application;
mod cel;
mod chat_example;
mod design_example;
mod explain;
mod findings;
mod load;
mod properties;
mod rules;
mod schema;
mod wire;
mod writing;

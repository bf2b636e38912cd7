//! Through the whole sidecar: clients of several users before one real server.

mod clients;
mod identity;
mod limits;
mod per_user;
mod prefixed;
mod redis_rs;
mod sessions;
mod stage;
mod subscriptions;
mod transactions;
mod upstreams;

//! A user whom row-level security knows, and SQL cannot forge: `bulkhead.user_id()`.

mod attacks;
mod claims;
mod installed;
mod sessions;
mod standby;
mod world;

//! RESP, the Redis serialization protocol, versions 2 and 3: requests and replies are walked where they are. Pure: no I/O, no clock.
//!
//! - [`request`](RequestWalker): a client's commands, argument by argument, in arrays and inline.
//! - [`tail`](Tail): the rest of a command that is passed on before its last byte has come.
//! - [`arguments`](Arguments): the arguments of one command, in the bytes that they came in.
//! - [`reply`](ReplyWalker): where a server's reply ends, and what it begins with.
//! - [`write`](push_bulk): what the sidecar says itself.
//!
//! Source: "Redis serialization protocol specification" (redis.io), and `networking.c` of Redis 7.0 for what the server itself accepts.

mod arguments;
mod error;
mod inline;
mod number;
mod reply;
mod request;
mod tail;
mod write;

pub use arguments::{Arguments, Span};
pub use error::{ReplyError, RequestError};
pub use reply::{ReplyKind, ReplyStep, ReplyWalker, error_code};
pub use request::{Head, Limits, RequestStep, RequestWalker};
pub use tail::{Tail, TailStep};
pub use write::{push_array_header, push_bulk, push_bulk_header, push_error};

pub(super) use number::{Number, parse_integer, read_number};

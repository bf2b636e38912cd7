//! What the sidecar knows of the session on the other side of a server connection.

use super::client::Resp;
use super::codec::ReplyWalker;
use super::prefix::KeyPrefix;

/// The session of one server connection.
#[derive(Debug, Default)]
pub struct Far {
    /// The logical database that is selected.
    pub database: u32,
    /// The version of the protocol.
    pub resp: Resp,
    /// Where the server's replies have been read to.
    pub walker: ReplyWalker,
    /// The prefix of the Redis user that it has been logged in as; none: it is the sidecar's own.
    pub held_to: Option<KeyPrefix>,
}

impl Far {
    /// A session that has just begun.
    #[must_use]
    pub fn new(database: u32, resp: Resp) -> Self {
        Self {
            database,
            resp,
            ..Self::default()
        }
    }
}

//! What the sidecar knows of the session on the other side of a server connection.

use super::client::Resp;
use super::codec::ReplyWalker;

/// The session of one server connection.
#[derive(Debug, Default)]
pub struct Far {
    /// The logical database that is selected.
    pub database: u32,
    /// The version of the protocol.
    pub resp: Resp,
    /// Where the server's replies have been read to.
    pub walker: ReplyWalker,
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

//! A socket whose two sides have upgraded, on its way to the worker of its user.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::seat::Seat;
use crate::identity::UserContext;
use crate::stream::Stream;
use crate::worker::Lost;
use crate::worker::kills::Moment;

/// Two sides that speak WebSocket from here on.
#[derive(Debug)]
pub struct Upgraded {
    /// The WebSocket entry that the client came to.
    pub entry: Arc<str>,
    /// The user's seat; none for a socket without a user, in mode `Audit`.
    pub seat: Option<Seat>,
    /// The verified context.
    pub context: Option<UserContext>,
    /// When the client said who it is.
    pub presented: Moment,
    /// The client.
    pub client: Stream,
    /// What the client has sent behind its request.
    pub client_early: Bytes,
    /// The application.
    pub application: Stream,
    /// What the application has sent behind its answer.
    pub application_early: Bytes,
    /// Whether permessage-deflate was agreed on.
    pub deflates: bool,
    /// How it survives its connection, where the client has opted in.
    pub resumes: Option<Resumes>,
}

/// A session that is to survive its connection.
#[derive(Debug)]
pub struct Resumes {
    /// The subprotocol that the client was told.
    pub protocol: String,
    /// What has become of the session that the client asked for, where it did.
    pub lost: Option<Lost>,
}

impl Upgraded {
    /// Moves both sockets to the runtime that this is called in.
    ///
    /// # Errors
    /// No file descriptor is left for the moment in which there are two.
    pub fn settle_here(&mut self) -> io::Result<()> {
        self.client.settle_here()?;
        self.application.settle_here()
    }
}

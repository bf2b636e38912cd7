//! A seat at a user's worker, kept while the handshake goes on at the worker that accepted the client.

use std::sync::Arc;

use super::user::{Ousted, Place};
use crate::identity::UserId;
use crate::process::Process;
use crate::worker::mailbox::Letter;

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// The user has as many sockets as `limits.connectionsPerUser` allows.
    Sockets,
    /// The user would be one more than `limits.maxUsers`.
    Users,
    /// The entry or its worker is gone.
    Gone,
}

/// A seat that is kept; given back when it is dropped before the socket has come.
#[derive(Debug)]
pub struct Seat {
    process: Arc<Process>,
    home: usize,
    entry: Arc<str>,
    user: UserId,
    socket: Option<Arc<str>>,
    place: Place,
    taken: bool,
}

impl Seat {
    /// A seat that the worker `home` has kept.
    #[must_use]
    pub const fn new(
        process: Arc<Process>,
        home: usize,
        entry: Arc<str>,
        user: UserId,
        socket: Option<Arc<str>>,
        place: Place,
    ) -> Self {
        Self {
            process,
            home,
            entry,
            user,
            socket,
            place,
            taken: false,
        }
    }

    /// The worker where the user lives.
    #[must_use]
    pub const fn home(&self) -> usize {
        self.home
    }

    /// The id of the socket that is to come, for its context token.
    #[must_use]
    pub fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// Ready when the place is this one's no more. Cancel safe.
    pub async fn ousted(&mut self) -> Ousted {
        match (&mut self.place.taken).await {
            Ok(why) => why,
            // Nobody is left who could take it.
            Err(_) => std::future::pending().await,
        }
    }

    /// The socket has come, by this number: from now on it says itself when it leaves.
    pub fn take(mut self) -> (UserId, Option<Arc<str>>, u64) {
        self.taken = true;
        (self.user.clone(), self.socket.take(), self.place.number)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.taken {
            let letter = Letter::SeatGivenBack {
                entry: Arc::clone(&self.entry),
                user: self.user.clone(),
                socket: self.socket.take(),
                number: self.place.number,
            };
            self.process.send(self.home, letter);
        }
    }
}

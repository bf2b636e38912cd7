//! WebSockets on this worker: the seats of those on their way, and those that have come.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_local;

use super::{Signal, Worker};
use crate::identity::{UserContext, UserId};
use crate::protocol::websocket::{NoSeat, Seat, Upgraded, serve_socket};

impl Worker {
    /// Keeps a seat for one more socket of a user who lives here.
    ///
    /// # Errors
    /// One of the policy's limits is reached.
    pub fn keep_seat(&self, entry: &Arc<str>, user: UserId) -> Result<Seat, NoSeat> {
        let found = self.socket_entry(entry).ok_or(NoSeat::Gone)?;
        let force = found.force();
        self.enter_user(&user, force.policy.limits.max_users)
            .map_err(|_| NoSeat::Users)?;
        let settings = &force.settings;
        let kept = found
            .user(&user)
            .reserve(settings.connections_per_user, settings.when_full);
        let Ok(place) = kept else {
            self.leave_user(&user);
            found.release(&user);
            return Err(NoSeat::Sockets);
        };
        let socket = self.open_socket(&user);
        let process = Arc::clone(&self.process);
        Ok(Seat::new(
            process,
            self.index,
            Arc::clone(entry),
            user,
            socket,
            place,
        ))
    }

    /// Takes a seat back that nobody came for.
    pub fn give_seat_back(&self, entry: &str, user: &UserId, socket: Option<&str>, number: u64) {
        self.leave_user(user);
        if let Some(entry) = self.socket_entry(entry) {
            if let Some(socket) = socket {
                let on_disconnect = entry.force_now().policy.isolation.on_disconnect;
                self.close_socket(socket, on_disconnect);
            }
            if let Some(sockets) = entry.known(user) {
                sockets.give_back(number);
            }
            entry.release(user);
        }
    }

    /// Lets the open sockets of a user who lives here live by a fresh token: how many there are.
    #[must_use]
    pub fn renew_sockets(&self, entry: &str, fresh: &UserContext) -> usize {
        let user = self
            .socket_entry(entry)
            .and_then(|entry| entry.known(fresh.user_id()));
        user.map_or(0, |user| user.renew(fresh))
    }

    /// Takes no new sockets, and tells those that are open to go, each at a moment of its own.
    pub fn leave(&self) {
        if !self.leaving.send_replace(true) {
            self.signal_all(Signal::Leave);
        }
    }

    /// Serves a socket whose user lives here, and that another worker has accepted.
    pub fn take_socket_over(self: &Rc<Self>, mut upgraded: Box<Upgraded>) {
        if let Err(error) = upgraded.settle_here() {
            // It is served all the same; the worker that accepted it goes on hearing of it first.
            tracing::debug!(%error, "a client's socket could not be moved");
        }
        self.take_socket(upgraded);
    }

    /// Serves a socket whose user lives here, where it was accepted.
    pub fn take_socket(self: &Rc<Self>, upgraded: Box<Upgraded>) {
        if let Some(entry) = self.socket_entry(&upgraded.entry) {
            spawn_local(serve_socket(Rc::clone(self), entry, upgraded));
        }
    }
}

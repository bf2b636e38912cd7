//! The sockets that are open in this process: a context token that was made for one is good as long as the socket is.
//!
//! Lives here: which sockets there are, and whose. May not live here: what belongs to them; that is the worker's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::quality::RandomState;

use super::signing::{NoRandomness, random_id};
use super::user::UserId;

/// The open sockets of all workers. Asked for a token whose time is over, and told of each socket twice: a lock does.
#[derive(Debug, Default)]
pub struct LiveSockets(Mutex<HashMap<Arc<str>, UserId, RandomState>>);

impl LiveSockets {
    /// A socket of `user` opens: gives the id that its tokens carry (claim `sid`), which nobody can guess.
    ///
    /// # Errors
    /// See [`NoRandomness`].
    pub fn open(&self, user: &UserId) -> Result<Arc<str>, NoRandomness> {
        let id: Arc<str> = random_id()?.into();
        self.lock().insert(Arc::clone(&id), user.clone());
        Ok(id)
    }

    /// A socket has ended.
    pub fn close(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Whether a socket is open, and this user's.
    #[must_use]
    pub fn is_open(&self, id: &str, user: &UserId) -> bool {
        self.lock().get(id) == Some(user)
    }

    /// The table stays whole whatever panics between two of its operations.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, UserId, RandomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_its_users_until_it_ends() {
        let [alice, bob] = ["alice", "bob"].map(|id| UserId::parse(id).unwrap());
        let live = LiveSockets::default();
        let (one, other) = (live.open(&alice).unwrap(), live.open(&alice).unwrap());
        assert_ne!(one, other);
        assert!(live.is_open(&one, &alice) && !live.is_open(&one, &bob));
        live.close(&one);
        assert!(!live.is_open(&one, &alice) && live.is_open(&other, &alice));
        live.close(&one);
        assert!(!live.is_open("", &alice));
    }
}

//! Sessions of users who have been cut off: how a list of revocations that comes into force ends them.
//!
//! The list is in force before the letter about it is sent. So a session is in the worker's list when that letter comes, or asks for
//! itself when it enters; and a context that was issued later than the revocation goes on.

use std::time::SystemTime;

use super::badge::Who;
use super::kills::Moment;
use super::{Handle, Joined, Signal, Worker};
use crate::audit::record::FactoryEnd;
use crate::factory::key::Owner;
use crate::identity::{InForce, Rejection, UserContext};

/// Whether a context has expired: it begins nothing new, unless the WebSocket lives that it was made for.
#[must_use]
pub fn has_expired(context: Option<&UserContext>, socket: Option<&Joined>) -> bool {
    context.is_some_and(|context| {
        context.expires_at().is_some()
            && !socket.is_some_and(Joined::is_open)
            && context.is_expired(SystemTime::now())
    })
}

impl Worker {
    /// Why the owner of some work is cut off, if so; `context` is what it works under. The session is told to end as well, a moment later.
    #[must_use]
    pub fn revocation(&self, owner: &Owner, context: Option<&UserContext>) -> Option<Rejection> {
        let issued = context.and_then(UserContext::issued_at);
        self.process.revocations.refusal(owner.user()?, issued)
    }

    /// A session that has just entered the list, or begins to work for a user there, is told to end where that user was killed since it said
    /// who that is (`since`), or is cut off. `context` is what it works under.
    pub fn end_if_over(&self, handle: &Handle, context: Option<&UserContext>, since: &Moment) {
        handle.badge.believe(context);
        self.end_if_killed(handle, since);
        self.end_if_revoked(
            handle,
            &self.process.revocations.current(),
            SystemTime::now(),
        );
    }

    /// Another list of revocations is in force: everybody here whom it refuses is told to end, and what is kept for them is closed.
    pub fn enforce_revocations(&self) {
        let (current, now) = (self.process.revocations.current(), SystemTime::now());
        if current.list().revocations().is_empty() {
            return;
        }
        self.each_session(|handle| self.end_if_revoked(handle, &current, now));
        for entry in self.entries() {
            let name = std::sync::Arc::clone(&entry.force_now().name);
            for factory in self.factories_of(&name) {
                let user = factory.key.owner.user();
                if user.is_some_and(|user| current.refuses(user, None, now).is_some()) {
                    factory.recall(FactoryEnd::Revoked);
                    self.release_factory(&entry, &factory);
                }
            }
        }
    }

    fn end_if_revoked(&self, handle: &Handle, current: &InForce, now: SystemTime) {
        let who = handle.badge.who();
        let Some((who, user)) = who.as_ref().and_then(|who| Some((who, who.user()?))) else {
            return;
        };
        if current.refuses(user, handle.badge.issued(), now).is_none()
            || !handle.send_once(Signal::Revoked)
        {
            return;
        }
        self.with_trail(who, |trail| trail.revoked(user));
        match who {
            Who::Client { .. } => {
                if let Some(entry) = self.entry(who.upstream()) {
                    entry.metrics.clients.revoked.inc();
                }
            }
            Who::Socket { .. } => {
                if let Some(entry) = self.socket_entry(who.upstream()) {
                    entry.metrics.clients.revoked.inc();
                }
            }
        }
    }
}

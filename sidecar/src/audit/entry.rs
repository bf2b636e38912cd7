//! The trail as one entry of the policy sees it: what is recorded there has the entry's name and protocol.

use std::sync::Arc;

use super::error::Unwritable;
use super::naming::{Named, Naming};
use super::record::{Canceller, Event, FactoryEnd, Upstream, Whose};
use super::trail::Trail;
use crate::factory::key::{FactoryKey, Owner};
use crate::identity::{Rejection, RejectionReason, UserId};
use crate::telemetry::TimeoutKind;

/// Characters of a database's name that are recorded: clients choose it.
const DATABASE: usize = 63;

/// The trail of one entry.
#[derive(Clone, Debug)]
pub struct EntryTrail {
    trail: Arc<Trail>,
    protocol: &'static str,
    upstream: Upstream,
}

impl EntryTrail {
    /// The part of a trail that is this entry's; `protocol` is what its clients speak.
    #[must_use]
    pub const fn new(trail: Arc<Trail>, protocol: &'static str, upstream: Arc<str>) -> Self {
        Self {
            trail,
            protocol,
            upstream: Upstream(upstream),
        }
    }

    /// The part that is a WebSocket entry's.
    #[must_use]
    pub const fn of_socket(trail: Arc<Trail>, upstream: Arc<str>) -> Self {
        Self::new(trail, "websocket", upstream)
    }

    /// A client is accepted: it works for this owner from now on.
    ///
    /// # Errors
    /// That cannot be recorded, and the policy says that the client is refused then.
    pub fn accepted(&self, owner: &Owner) -> Result<(), Unwritable> {
        let (protocol, upstream) = (self.protocol, &self.upstream);
        self.trail.accept(|naming| Event::ContextAccepted {
            protocol,
            upstream: upstream.clone(),
            whose: whose(naming, owner),
        })
    }

    /// A client is refused for what it says of whom it works for. Who is refused because nothing can be recorded is counted alone.
    pub fn refused(&self, rejection: &Rejection) {
        if rejection.reason == RejectionReason::AuditUnavailable {
            return;
        }
        self.trail.record(|naming| Event::ContextRefused {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            reason: rejection.reason.as_str(),
            user: named(naming, rejection.user.as_ref()),
        });
    }

    /// A client is refused for the role that it names, whoever it works for.
    pub fn refused_role(&self) {
        self.trail.record(|_| Event::ContextRefused {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            reason: "role",
            user: None,
        });
    }

    /// A factory was made.
    pub fn factory_created(&self, key: &FactoryKey) {
        self.trail.record(|naming| Event::FactoryCreated {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            database: database(key),
            whose: whose(naming, &key.owner),
        });
    }

    /// A factory has ended.
    pub fn factory_ended(&self, key: &FactoryKey, reason: FactoryEnd) {
        self.trail.record(|naming| Event::FactoryEnded {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            database: database(key),
            whose: whose(naming, &key.owner),
            reason,
        });
    }

    /// A server connection went from one owner to another.
    pub fn handed_over(&self, from: &Owner, to: &Owner) {
        self.trail.record(|naming| Event::ServerHandedOver {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            from: named(naming, from.user()),
            to: named(naming, to.user()),
        });
    }

    /// A timeout fired, in this user's work where anybody's.
    pub fn timed_out(&self, kind: TimeoutKind, user: Option<&UserId>) {
        self.trail.record(|naming| Event::TimedOut {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            kind,
            user: named(naming, user),
        });
    }

    /// Work was cancelled.
    pub fn cancelled(&self, by: Canceller, user: Option<&UserId>) {
        self.trail.record(|naming| Event::Cancelled {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            by,
            user: named(naming, user),
        });
    }

    /// A session of a user's who is cut off is told to end.
    pub fn revoked(&self, user: &UserId) {
        self.trail.record(|naming| Event::SessionRevoked {
            protocol: self.protocol,
            upstream: self.upstream.clone(),
            user: naming.name(user),
        });
    }
}

fn whose(naming: &Naming, owner: &Owner) -> Whose {
    Whose::of(owner, |user| naming.name(user))
}

fn named(naming: &Naming, user: Option<&UserId>) -> Option<Named> {
    user.map(|user| naming.name(user))
}

fn database(key: &FactoryKey) -> String {
    key.database.chars().take(DATABASE).collect()
}

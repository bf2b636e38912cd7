//! A connection between two owners: it holds what the last one has left on the server, and nothing may be asked of it but to be
//! cleaned.

use std::io;
use std::rc::Rc;

use bulkhead_crds::kinds::TargetSessionAttrs;
use tokio::time::Instant;

use super::super::cancels::Cancels;
use super::super::fairness::Permit;
use super::super::key::{FactoryKey, Holder, LaneName, Owner};
use super::super::register::{Entered, Register};
use super::{Gauge, Owned, Server, Unasked};
use crate::protocol::postgres::session::backend::{Backend, Bare};
use crate::protocol::redis::Far;
use crate::relay::{Inbox, Outbox, Slab};
use crate::stream::Stream;
use crate::telemetry::ServerState;
use crate::upstream::Standing;

/// A connection without an owner that has not been cleaned. Dropping it closes it and passes its permit on.
#[derive(Debug)]
pub struct Soiled {
    server: Box<Server>,
    last_owner: Owner,
}

/// The same on its way to whoever is next, on whatever worker: what is a thread's own has been left behind, and is made anew
/// where it [settles](Relinquished::settle). Dropping it closes it and passes its permit on.
#[derive(Debug)]
pub struct Relinquished {
    lane: LaneName,
    last_owner: Owner,
    /// The worker with whose runtime the socket is registered.
    registered: usize,
    stream: Stream,
    backend: Bare,
    opened: Option<Instant>,
    expires: Option<Instant>,
    epoch: u64,
    standing: Standing,
    standby: Option<bool>,
    wanted: TargetSessionAttrs,
    permit: Permit,
    gauge: Gauge,
    sent: u64,
}

/// Where a connection settles.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// The worker.
    pub worker: usize,
    /// Its buffers.
    pub slab: &'a Slab,
    /// Its list of the upstream's connections.
    pub register: &'a Rc<Register>,
}

impl Soiled {
    pub(super) fn new(server: Box<Server>, last: &FactoryKey) -> Self {
        server.show_owner(None);
        Self {
            server,
            last_owner: last.owner.clone(),
        }
    }

    /// The connection, for who cleans it.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Closes the connection and keeps its permit, for one that is opened in its place.
    #[must_use]
    pub fn close(self) -> Permit {
        let Server { permit, .. } = *self.server;
        permit
    }

    pub(super) fn into_parts(self) -> (Box<Server>, Owner) {
        (self.server, self.last_owner)
    }
}

impl Owned {
    /// Whether nothing is under way on the connection, so that it may go elsewhere.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        let server = &self.server;
        let empty = server.inbox.is_empty() && server.outbox.is_empty();
        empty && server.backend.is_idle() && server.cancels.is_empty() && !server.doubted
    }

    /// Takes the connection, which is at rest, from its owner, for whoever is next on any worker. `here` is this one.
    #[must_use]
    pub fn relinquish(self, here: usize) -> Relinquished {
        let lane = self.key.lane();
        let Soiled { server, last_owner } = self.disown();
        Relinquished {
            lane,
            last_owner,
            registered: here,
            stream: server.stream,
            backend: server.backend.strip(),
            opened: server.entered.as_ref().map(Entered::opened_at),
            expires: server.expires,
            epoch: server.epoch,
            standing: server.standing,
            standby: server.standby,
            wanted: server.wanted,
            permit: server.permit,
            gauge: server.gauge,
            sent: server.sent,
        }
    }
}

impl Relinquished {
    /// Among whose waiters the next one is.
    #[must_use]
    pub const fn lane(&self) -> &LaneName {
        &self.lane
    }

    /// Counts the connection for the user who gets it once it is clean.
    pub fn promise_to(&mut self, holder: &Holder) {
        self.permit.assign(holder);
    }

    /// The connection on this worker: its socket wakes this one from now on, and what it is shown by is here.
    ///
    /// # Errors
    /// The socket cannot be moved. It is closed; the permit is for one that is opened in its place.
    pub fn settle(mut self, ground: Ground<'_>) -> Result<Soiled, (Permit, io::Error)> {
        if self.registered != ground.worker
            && let Err(error) = self.stream.settle_here()
        {
            return Err((self.permit, error));
        }
        let mut server = Server {
            stream: self.stream,
            inbox: Inbox::new(ground.slab.clone()),
            outbox: Outbox::new(ground.slab.clone()),
            backend: Backend::dress(self.backend),
            far: Far::default(),
            cancels: Cancels::default(),
            expires: self.expires,
            idle_since: Instant::now(),
            epoch: self.epoch,
            standing: self.standing,
            kept_until: None,
            doubted: false,
            standby: self.standby,
            wanted: self.wanted,
            // Only PostgreSQL's connections go from one user to another.
            unasked: Unasked::Messages,
            permit: self.permit,
            gauge: self.gauge,
            entered: None,
            sent: self.sent,
        };
        if let Some(opened) = self.opened {
            server.enter(ground.register, &self.lane, opened);
        }
        // Whoever counts what is not idle counts it: it is on its way to somebody.
        server.show_as(ServerState::Active);
        Ok(Soiled {
            server: Box::new(server),
            last_owner: self.last_owner,
        })
    }
}

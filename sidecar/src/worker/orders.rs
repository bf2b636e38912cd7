//! What an operator tells a worker to do, and what that comes to.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::badge::{Doing, Who};
use super::{Entry, Signal, Worker};
use crate::audit::record::{Canceller, FactoryEnd};
use crate::identity::UserId;
use crate::telemetry::ServerState;

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Order {
    /// Every client of a user ends now, and what is kept for them is closed. Told to [`Kills`](super::kills::Kills) before, which reaches who
    /// is in no list yet.
    Kill {
        /// Whose.
        user: UserId,
        /// Of this entry alone, where one is named.
        upstream: Option<Arc<str>>,
    },
    /// Connections of an older epoch are closed: idle ones now, others when they come home.
    Reconnect {
        /// The database entry.
        upstream: Arc<str>,
    },
    /// The entry is paused: idle connections are closed.
    Pause {
        /// The database entry.
        upstream: Arc<str>,
    },
    /// Only to be counted.
    Count {
        /// The database entry.
        upstream: Arc<str>,
    },
}

/// What has come of an order, or stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Clients of databases that were told to end.
    pub clients: u64,
    /// WebSockets that were told to end.
    pub sockets: u64,
    /// Server connections that were closed.
    pub closed: u64,
    /// Server connections that close when they come home; of a count, those on their way.
    pub outstanding: u64,
    /// Clients with a transaction under way.
    pub busy: u64,
    /// Server connections that clients keep between transactions.
    pub held: u64,
}

/// An order on its way.
#[derive(Debug)]
pub struct Ordered {
    /// What.
    pub order: Order,
    /// Who asks what has come of it.
    pub reply: oneshot::Sender<Tally>,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.clients += other.clients;
        self.sockets += other.sockets;
        self.closed += other.closed;
        self.outstanding += other.outstanding;
        self.busy += other.busy;
        self.held += other.held;
    }
}

impl Worker {
    /// Does what it is told. Entries that it does not have are passed over.
    #[must_use]
    pub fn obey(&self, order: &Order) -> Tally {
        let on = |upstream: &Arc<str>, act: &dyn Fn(&Entry) -> Tally| {
            self.entry(upstream)
                .map_or_else(Tally::default, |entry| act(&entry))
        };
        match order {
            Order::Kill { user, upstream } => self.kill(user, upstream.as_ref()),
            Order::Reconnect { upstream } => on(upstream, &|entry| self.reconnect(entry)),
            Order::Pause { upstream } => on(upstream, &|entry| self.pause(entry)),
            Order::Count { upstream } => on(upstream, &|entry| self.count(entry)),
        }
    }

    fn kill(&self, user: &UserId, upstream: Option<&Arc<str>>) -> Tally {
        let mut tally = Tally::default();
        let concerns = |name: &Arc<str>| upstream.is_none_or(|upstream| upstream == name);
        self.each_session(|handle| {
            let who = handle.badge.who();
            let Some(who) = &*who else {
                return;
            };
            if who.user() != Some(user) || !concerns(who.upstream()) {
                return;
            }
            match who {
                Who::Client { .. } => tally.clients += 1,
                Who::Socket { .. } => tally.sockets += 1,
            }
            handle.send(Signal::Killed);
            self.record_cancel(handle, Canceller::Administrator);
        });
        for entry in self.socket_entries() {
            if concerns(&entry.force_now().name)
                && let Some(sockets) = entry.known(user)
            {
                tally.sockets += sockets.turn_back();
            }
        }
        for entry in self.entries() {
            let name = Arc::clone(&entry.force_now().name);
            if !concerns(&name) {
                continue;
            }
            for factory in self.factories_of(&name) {
                if factory.key.owner.user() == Some(user) {
                    tally.closed += factory.recall(FactoryEnd::Killed);
                    self.release_factory(&entry, &factory);
                }
            }
        }
        tally
    }

    fn reconnect(&self, entry: &Entry) -> Tally {
        entry.greetings.forget();
        let epoch = entry.epoch();
        let closed = self.close_unused(entry, |of| of != epoch);
        let mut outstanding = 0;
        entry.servers.each(|face| {
            outstanding +=
                u64::from(face.state() == ServerState::Active && face.opened.epoch != epoch);
        });
        Tally {
            closed,
            outstanding,
            ..Tally::default()
        }
    }

    fn pause(&self, entry: &Entry) -> Tally {
        Tally {
            closed: self.close_unused(entry, |_| true),
            ..self.count(entry)
        }
    }

    /// Closes the unused connections of an entry whose epoch `which` picks: how many.
    fn close_unused(&self, entry: &Entry, which: impl Fn(u64) -> bool) -> u64 {
        let mut closed = 0;
        let name = Arc::clone(&entry.force_now().name);
        for factory in self.factories_of(&name) {
            let gone = factory.sweep(|owned| which(owned.server.epoch).then_some(()));
            closed += gone.len() as u64;
            drop(gone);
            self.release_factory(entry, &factory);
        }
        for lane in entry.lanes() {
            closed += lane.close_spares(&which);
        }
        closed
    }

    fn count(&self, entry: &Entry) -> Tally {
        let mut tally = Tally::default();
        let name = Arc::clone(&entry.force_now().name);
        self.each_session(|handle| {
            let who = handle.badge.who();
            if who.as_ref().is_some_and(|who| **who.upstream() == *name) {
                tally.busy += u64::from(handle.badge.keeps_busy());
                tally.held += u64::from(handle.badge.doing() == Doing::Holding);
            }
        });
        let mut active = 0_u64;
        entry.servers.each(|face| {
            active += u64::from(face.state() == ServerState::Active);
        });
        // The rest is on its way home.
        tally.outstanding = active.saturating_sub(tally.busy + tally.held);
        tally
    }

    /// Shows each session that is here, in no order.
    pub fn each_session(&self, show: impl FnMut(&Rc<super::Handle>)) {
        let sessions = self.sessions.borrow();
        let here = sessions.iter().map(|(_, handle)| handle);
        here.filter(|handle| handle.away().is_none()).for_each(show);
    }
}

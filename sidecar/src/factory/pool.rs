//! One owner's factory: idle connections, who waits for one, and what the owner has done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::fairness::Need;
use super::key::{FactoryKey, Holder};
use super::seats::{Grant, Seat, Seats};
use super::server::Owned;
use crate::admin::UserRow;
use crate::audit::record::FactoryEnd;
use crate::protocol::postgres::session::baseline::Settings;
use crate::telemetry::ServerState;

/// Application names remembered for the `users` list, per factory.
const APPLICATION_NAMES: usize = 8;

/// What one owner may open towards one upstream. Lives on one worker, without locks.
#[derive(Debug)]
pub struct Factory {
    /// Whose it is.
    pub key: Rc<FactoryKey>,
    /// The same for the limiter.
    pub holder: Holder,
    /// What the owner has done, for the `users` list.
    pub activity: Activity,
    idle: RefCell<Vec<Owned>>,
    seats: Rc<Seats>,
    clients: Cell<u32>,
    offered: Cell<bool>,
    /// Why it ends, when it does.
    ending: Cell<FactoryEnd>,
    /// The settings that its clients have wanted last.
    wanted: RefCell<Option<Rc<Settings>>>,
}

/// Counters of one factory.
#[derive(Debug)]
pub struct Activity {
    /// Transactions (or statements outside of one) that have ended.
    pub transactions: Cell<u64>,
    /// Errors that the server or the sidecar has sent.
    pub errors: Cell<u64>,
    /// Timeouts that have fired.
    pub timeouts: Cell<u64>,
    /// When something last happened.
    pub last: Cell<Instant>,
    application_names: RefCell<BTreeSet<Box<str>>>,
}

impl Factory {
    /// An empty factory, without a limit of its own yet.
    #[must_use]
    pub fn new(key: FactoryKey, worker: usize) -> Self {
        let holder = Holder {
            owner: key.owner.clone(),
            worker,
        };
        Self {
            key: Rc::new(key),
            holder,
            activity: Activity::new(),
            idle: RefCell::default(),
            seats: Rc::default(),
            clients: Cell::new(0),
            offered: Cell::new(false),
            ending: Cell::new(FactoryEnd::Unused),
            wanted: RefCell::default(),
        }
    }

    /// The idle connection that was used last, if it may still be used: it must be of the upstream's present settings
    /// (`epoch`), young enough, and alive.
    #[must_use]
    pub fn take_idle(&self, now: Instant, epoch: u64) -> Option<Owned> {
        loop {
            let mut owned = self.idle.borrow_mut().pop()?;
            let server = &mut owned.server;
            if server.is_young(now) && server.is_usable(epoch) {
                server.show_as(ServerState::Active);
                return Some(owned);
            }
        }
    }

    /// Takes a clean connection back: to the client that has waited longest, else among the idle ones.
    ///
    /// A connection of another owner is closed, and the attempt counted: the types do not let it happen, and if a change
    /// should, the count must not stay 0.
    pub fn park(&self, mut owned: Owned, now: Instant) {
        if *owned.key() != self.key && **owned.key() != *self.key {
            owned.server.count_handoff();
            return;
        }
        if owned.is_recalled() {
            return;
        }
        owned.server.idle_since = now;
        let mut grant = Grant::Connection(owned);
        while let Some(waiter) = self.seats.next_waiter() {
            match waiter.send(grant) {
                Ok(()) => return,
                Err(back) => grant = back,
            }
        }
        if let Grant::Connection(mut owned) = grant {
            owned.server.show_as(ServerState::Idle);
            self.idle.borrow_mut().push(owned);
        }
    }

    /// Room for one more connection, if fewer than the limit exist.
    #[must_use]
    pub fn try_seat(&self) -> Option<Seat> {
        Seats::try_take(&self.seats)
    }

    /// How many connections it may have from now on. Waiters get what a higher limit has room for; of what is above a lower one
    /// the idle connections are closed, those unused longest first, and the rest as they are given back.
    pub fn set_max(&self, max: u32) {
        Seats::set_max(&self.seats, max);
        while self.exceeds_max() && self.take_longest_idle().is_some() {}
    }

    /// How many connections it may have.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.seats.max()
    }

    /// Whether more connections exist than its limit allows.
    #[must_use]
    pub fn exceeds_max(&self) -> bool {
        self.seats.exceed_max()
    }

    /// Closes its idle connections, and those in use when they are given back: how many were idle. When its clients have gone, it has ended
    /// for this reason.
    pub fn recall(&self, why: FactoryEnd) -> u64 {
        self.ending.set(why);
        self.seats.recall();
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        idle.len() as u64
    }

    /// Why it ends, if it ends now.
    #[must_use]
    pub fn ending(&self) -> FactoryEnd {
        self.ending.get()
    }

    /// Whether more seats are taken than its limit allows: who waits with one gives it back.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.seats.are_crowded()
    }

    /// A place in the queue for a connection of this owner, or for a seat to open one.
    #[must_use]
    pub fn wait(&self) -> oneshot::Receiver<Grant> {
        self.seats.enqueue(true)
    }

    /// A place in the queue for a connection alone: for a client that has a seat already.
    #[must_use]
    pub fn wait_seated(&self) -> oneshot::Receiver<Grant> {
        self.seats.enqueue(false)
    }

    /// Clients that wait, those that have given up excluded.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.seats.waiting()
    }

    /// What it needs of a connection that is given back.
    #[must_use]
    pub fn need(&self) -> Need {
        if self.waiting() > 0 {
            Need::Waiting
        } else if self.clients() > 0 {
            Need::Idle
        } else {
            Need::None
        }
    }

    /// Connections that exist.
    #[must_use]
    pub fn connected(&self) -> u32 {
        self.seats.connected()
    }

    /// Seats taken: connections that exist or are being opened, and clients that wait for a permit.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.seats.taken()
    }

    /// Connections in the pool.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Takes out the connection that has been idle longest.
    #[must_use]
    pub fn take_longest_idle(&self) -> Option<Owned> {
        let mut idle = self.idle.borrow_mut();
        (!idle.is_empty()).then(|| idle.remove(0))
    }

    /// Takes out the idle connections for which `judge` gives a verdict, and hands each with its verdict to the caller.
    #[must_use]
    pub fn sweep<V>(&self, mut judge: impl FnMut(&mut Owned) -> Option<V>) -> Vec<(V, Owned)> {
        let mut idle = self.idle.borrow_mut();
        let mut out = Vec::new();
        let mut index = 0;
        while index < idle.len() {
            match judge(&mut idle[index]) {
                Some(verdict) => out.push((verdict, idle.remove(index))),
                None => index += 1,
            }
        }
        out
    }

    /// Whether this factory is not among those whose idle connections tier `Reset` may clean; it counts as being among
    /// them afterwards.
    pub fn offers_once(&self) -> bool {
        !self.offered.replace(true)
    }

    /// Takes one idle connection out, for tier `Reset` to clean for somebody else; and whether more are left.
    #[must_use]
    pub fn give_up_idle(&self) -> (Option<Owned>, bool) {
        let mut idle = self.idle.borrow_mut();
        let given = idle.pop();
        self.offered.set(!idle.is_empty());
        (given, !idle.is_empty())
    }

    /// What the `users` list says of it.
    #[must_use]
    pub fn row(&self) -> UserRow {
        let activity = &self.activity;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        UserRow {
            user_id: self.key.owner.label().to_owned(),
            upstream: self.key.upstream.to_string(),
            database: self.key.database.to_string(),
            role: self.key.role.to_string(),
            clients: self.clients(),
            server_connections: self.connected(),
            idle: count(self.idle()),
            waiting: count(self.waiting()),
            transactions: activity.transactions.get(),
            errors: activity.errors.get(),
            timeouts: activity.timeouts.get(),
            last_active_seconds: activity.last.get().elapsed().as_secs(),
            attributed: self.key.owner.user().is_some(),
            application_names: activity.application_names(),
        }
    }

    /// These settings as another of its clients holds them, where they are the same: connections that have them are known by the pointer.
    #[must_use]
    pub fn share_settings(&self, wanted: Settings) -> Rc<Settings> {
        let mut known = self.wanted.borrow_mut();
        match &*known {
            Some(known) if **known == wanted => Rc::clone(known),
            _ => Rc::clone(known.insert(Rc::new(wanted))),
        }
    }

    /// One more client.
    pub fn client_joins(&self) {
        self.ending.set(FactoryEnd::Unused);
        self.clients.set(self.clients.get() + 1);
    }

    /// One client less.
    pub fn client_leaves(&self) {
        self.clients.set(self.clients.get().saturating_sub(1));
    }

    /// Clients connected.
    #[must_use]
    pub fn clients(&self) -> u32 {
        self.clients.get()
    }

    /// Whether nobody needs it any more.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.clients.get() == 0 && self.seats.taken() == 0
    }
}

impl Activity {
    fn new() -> Self {
        Self {
            transactions: Cell::new(0),
            errors: Cell::new(0),
            timeouts: Cell::new(0),
            last: Cell::new(Instant::now()),
            application_names: RefCell::default(),
        }
    }

    /// A transaction has ended.
    pub fn count_transaction(&self, now: Instant) {
        self.transactions.set(self.transactions.get() + 1);
        self.last.set(now);
    }

    /// An error has been sent to a client.
    pub fn count_error(&self) {
        self.errors.set(self.errors.get() + 1);
    }

    /// A timeout has fired.
    pub fn count_timeout(&self) {
        self.timeouts.set(self.timeouts.get() + 1);
    }

    /// Remembers an application name; bounded.
    pub fn note_application(&self, name: &str) {
        let mut names = self.application_names.borrow_mut();
        if names.len() < APPLICATION_NAMES && !name.is_empty() {
            names.insert(name.into());
        }
    }

    /// The application names seen.
    #[must_use]
    pub fn application_names(&self) -> Vec<String> {
        let names = self.application_names.borrow();
        names.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests;

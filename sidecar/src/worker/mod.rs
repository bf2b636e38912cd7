//! A worker: one thread, one single-threaded runtime, and the users whose ids lead to it.
//!
//! Factories, queues and sessions of a user are plain memory of this thread, without locks. What spans workers is the
//! upstream's limit ([`crate::factory::fairness`]) and the letters of [`mailbox`].

pub mod badge;
pub mod dial;
pub mod entry;
pub mod errands;
#[cfg(test)]
pub(crate) mod fixtures;
mod guesses;
pub mod handle;
pub mod kills;
mod live;
pub mod mailbox;
pub mod orders;
mod places;
mod reclaim;
mod recording;
mod resumable;
mod revoked;
mod sockets;
mod takeover;
pub mod thread;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab as Slots;
use tokio::sync::watch;
use tokio::time::Instant;

pub use entry::Entry;
pub use handle::{Handle, Place, Signal};
pub use live::{Joined, RunOver};
pub use resumable::{Claim, Lost, ResumePoint, Returned};
pub use revoked::has_expired;

use crate::admin::UserRow;
use crate::audit::record::{Canceller as CancelledBy, FactoryEnd};
use crate::factory::handover;
use crate::factory::key::{FactoryKey, Owner};
use crate::factory::pool::Factory;
use crate::factory::seats;
use crate::identity::UserId;
use crate::jitter::Jitter;
use crate::ledger::Ledger;
use crate::process::Process;
use crate::protocol::postgres::handshake::CancelKey;
use crate::protocol::postgres::session::cancel_key;
use crate::protocol::postgres::session::statements::Interner;
use crate::protocol::websocket::SocketEntry;
use crate::relay::Slab;
use errands::Errands;
use guesses::Guesses;
use mailbox::Canceller;

/// The state of one worker.
#[derive(Debug)]
pub struct Worker {
    /// Which one.
    pub index: usize,
    /// What all workers share.
    pub process: Arc<Process>,
    /// Its buffers.
    pub slab: Slab,
    /// Its prepared statements.
    pub interner: Interner,
    /// Whether it has stopped accepting.
    pub draining: watch::Sender<bool>,
    /// Whether it takes no new WebSockets, and tells those that are open to go.
    pub leaving: watch::Sender<bool>,
    /// Whether the grace period is over.
    pub stopping: Cell<bool>,
    /// What is still to be done for connections whose sessions have ended.
    pub errands: Errands,
    /// Numbers that keep things from happening all at once.
    pub jitter: Jitter,
    entries: RefCell<Vec<Rc<Entry>>>,
    socket_entries: RefCell<Vec<Rc<SocketEntry>>>,
    factories: RefCell<HashMap<Rc<FactoryKey>, Rc<Factory>, foldhash::fast::RandomState>>,
    /// Each user who is connected.
    users: RefCell<HashMap<UserId, Present, foldhash::fast::RandomState>>,
    sessions: RefCell<Slots<Rc<Handle>>>,
    /// The sockets of its users that are open, by the id that their tokens carry.
    live: RefCell<HashMap<Arc<str>, Rc<live::LiveSocket>, foldhash::fast::RandomState>>,
    /// Its users' sessions that survive their connection.
    resumable: resumable::Resumable,
    guesses: Guesses,
}

/// A user who is connected.
#[derive(Debug, Default)]
struct Present {
    clients: u32,
    ledger: Rc<Ledger>,
}

/// `limits.maxUsers` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyUsers;

impl Worker {
    /// A worker without users.
    #[must_use]
    pub fn new(index: usize, process: Arc<Process>) -> Self {
        Self {
            index,
            process,
            slab: Slab::default(),
            interner: Interner::default(),
            draining: watch::Sender::new(false),
            leaving: watch::Sender::new(false),
            stopping: Cell::new(false),
            errands: Errands::default(),
            jitter: Jitter::new(index as u64),
            entries: RefCell::default(),
            socket_entries: RefCell::default(),
            factories: RefCell::default(),
            users: RefCell::default(),
            sessions: RefCell::new(Slots::new()),
            live: RefCell::default(),
            resumable: resumable::Resumable::default(),
            guesses: Guesses::default(),
        }
    }

    /// The database entry of this name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<Rc<Entry>> {
        let entries = self.entries.borrow();
        let found = entries.iter().find(|entry| *entry.force().name == *name);
        found.map(Rc::clone)
    }

    /// All database entries.
    #[must_use]
    pub fn entries(&self) -> Vec<Rc<Entry>> {
        self.entries.borrow().clone()
    }

    /// Adds a database entry.
    pub fn add_entry(&self, entry: Rc<Entry>) {
        self.entries.borrow_mut().push(entry);
    }

    /// The WebSocket entry of this name.
    #[must_use]
    pub fn socket_entry(&self, name: &str) -> Option<Rc<SocketEntry>> {
        let entries = self.socket_entries.borrow();
        let found = entries
            .iter()
            .find(|entry| *entry.force_now().name == *name);
        found.map(Rc::clone)
    }

    /// All WebSocket entries.
    #[must_use]
    pub fn socket_entries(&self) -> Vec<Rc<SocketEntry>> {
        self.socket_entries.borrow().clone()
    }

    /// Adds a WebSocket entry.
    pub fn add_socket_entry(&self, entry: Rc<SocketEntry>) {
        self.socket_entries.borrow_mut().push(entry);
    }

    /// Lets a client in: it joins the factory of this key. [`Worker::dismiss`] is the other end.
    ///
    /// # Errors
    /// Its user would be one more than `limits.maxUsers` that are connected.
    pub fn admit(&self, entry: &Entry, key: FactoryKey) -> Result<Rc<Factory>, TooManyUsers> {
        if let Owner::User(user) = &key.owner {
            self.enter_user(user, entry.force_now().policy.limits.max_users)?;
        }
        let factory = self.factory(entry, key);
        factory.client_joins();
        Ok(factory)
    }

    /// A client has left. A factory without clients keeps its idle connections for the next one, unless somebody else waits for
    /// them.
    pub fn dismiss(&self, entry: &Entry, factory: &Factory) {
        factory.client_leaves();
        if let Owner::User(user) = &factory.key.owner {
            self.leave_user(user);
        }
        while factory.clients() == 0
            && entry.limiter.has_waiters()
            && let Some(owned) = factory.take_longest_idle()
        {
            handover::give_up(entry, self.index, owned);
        }
        self.release_factory(entry, factory);
    }

    /// The factory of this key, created on demand.
    pub fn factory(&self, entry: &Entry, key: FactoryKey) -> Rc<Factory> {
        if let Some(factory) = self.factories.borrow().get(&key) {
            return Rc::clone(factory);
        }
        let factory = Rc::new(Factory::new(key, self.index));
        factory.set_max(seats::limit_of(&factory.key.owner, &entry.force_now().settings.pool).0);
        entry.metrics.factories.inc();
        entry.metrics.factories_created.inc();
        entry.trail.factory_created(&factory.key);
        let known = Rc::clone(&factory.key);
        self.factories
            .borrow_mut()
            .insert(known, Rc::clone(&factory));
        factory
    }

    /// Frees a factory if nobody needs it any more.
    pub fn release_factory(&self, entry: &Entry, factory: &Factory) {
        let known = self.factories.borrow().get(&*factory.key).map(Rc::clone);
        let is_known = known.is_some_and(|known| std::ptr::eq(&*known, factory));
        if !factory.is_unused() || !is_known {
            return;
        }
        self.factories.borrow_mut().remove(&*factory.key);
        entry.metrics.factories.dec();
        entry.trail.factory_ended(&factory.key, factory.ending());
    }

    /// The worker ends: so do the factories that are left.
    pub fn end_factories(&self) {
        for (key, _) in self.factories.borrow_mut().drain() {
            if let Some(entry) = self.entry(&key.upstream) {
                entry.trail.factory_ended(&key, FactoryEnd::Shutdown);
            }
        }
    }

    /// The factories of one entry.
    #[must_use]
    pub fn factories_of(&self, entry: &str) -> Vec<Rc<Factory>> {
        let factories = self.factories.borrow();
        let of_entry = factories
            .values()
            .filter(|factory| *factory.key.upstream == *entry);
        of_entry.map(Rc::clone).collect()
    }

    /// Shows each factory, in no order. Nothing that is done to it may make or free one.
    pub fn each_factory(&self, show: impl FnMut(&Rc<Factory>)) {
        self.factories.borrow().values().for_each(show);
    }

    /// Lets a cancel request through to the session whose key it carries. A wrong key does nothing, and too many of them make the
    /// session that they name deaf for the rest of the second ([`guesses`]).
    pub fn cancel(&self, key: &CancelKey, canceller: Canceller) {
        let sessions = self.sessions.borrow();
        let Some(handle) = sessions.get(cancel_key::slot(key.process_id())) else {
            return;
        };
        if handle.can_be_guessed() && !self.guesses.allow(&handle.guesses, Instant::now()) {
            return;
        }
        if handle.accepts(key) {
            self.record_cancel(handle, CancelledBy::Client);
            self.cancel_wherever(handle, key, canceller);
        } else {
            self.guesses.count();
            handle.guesses.count();
        }
    }

    /// The users of this worker, for the `users` list.
    #[must_use]
    pub fn user_rows(&self) -> Vec<UserRow> {
        let factories = self.factories.borrow();
        factories.values().map(|factory| factory.row()).collect()
    }

    /// Counts one more client of a user.
    ///
    /// # Errors
    /// The user would be one more than `limits.maxUsers` that are connected.
    pub fn enter_user(&self, user: &UserId, max: u32) -> Result<(), TooManyUsers> {
        let mut users = self.users.borrow_mut();
        if let Some(present) = users.get_mut(user) {
            present.clients += 1;
            return Ok(());
        }
        if !self.process.enter_user(max) {
            return Err(TooManyUsers);
        }
        let present = Present {
            clients: 1,
            ..Present::default()
        };
        users.insert(user.clone(), present);
        Ok(())
    }

    /// The ledger of all clients of an owner's who is connected. Work that belongs to no user is many people's: each of its
    /// clients has one of its own.
    #[must_use]
    pub fn ledger(&self, owner: &Owner) -> Rc<Ledger> {
        let users = self.users.borrow();
        let present = owner.user().and_then(|user| users.get(user));
        present.map_or_else(Rc::default, |present| Rc::clone(&present.ledger))
    }

    /// Counts one client of a user less.
    pub fn leave_user(&self, user: &UserId) {
        let mut users = self.users.borrow_mut();
        if let Some(present) = users.get_mut(user) {
            present.clients -= 1;
            if present.clients == 0 {
                users.remove(user);
                self.process.leave_user();
            }
        }
    }
}

#[cfg(test)]
mod tests;

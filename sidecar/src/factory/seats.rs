//! One owner's limit: a seat for each connection that it may have, and the queue of its clients that wait for one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bulkhead_crds::effective::EffectivePool;
use tokio::sync::oneshot;

use super::key::Owner;
use super::server::Owned;

/// How many connections an owner may have, and the field that says so. Work that belongs to no user has no other limit than
/// the upstream's.
#[must_use]
pub fn limit_of(owner: &Owner, pool: &EffectivePool) -> (u32, &'static str) {
    match owner {
        Owner::User(_) => (pool.per_user_max, "pool.perUser.max"),
        Owner::Unattributed | Owner::Shared | Owner::Bootstrap => {
            (pool.max_connections, "pool.maxConnections")
        }
    }
}

/// The seats of one factory.
#[derive(Debug)]
pub(super) struct Seats {
    max: Cell<u32>,
    taken: Cell<u32>,
    connected: Cell<u32>,
    /// How often its connections have been recalled.
    era: Cell<u32>,
    queue: RefCell<VecDeque<Waiter>>,
}

/// A client that waits.
#[derive(Debug)]
struct Waiter {
    /// Whether a seat would help it; one that has a seat waits for a connection alone.
    wants_seat: bool,
    grant: oneshot::Sender<Grant>,
}

/// The right to have one more connection within the limit. Dropping it lets the next waiter open one.
#[derive(Debug)]
pub struct Seat {
    seats: Rc<Seats>,
    has_connection: bool,
    /// The era in which it was taken.
    era: u32,
}

/// What a waiter gets.
#[derive(Debug)]
pub enum Grant {
    /// A connection that another client of the same owner has just given back.
    Connection(Owned),
    /// Room to open one.
    Seat(Seat),
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            max: Cell::new(u32::MAX),
            taken: Cell::new(0),
            connected: Cell::new(0),
            era: Cell::new(0),
            queue: RefCell::default(),
        }
    }
}

impl Seats {
    pub(super) fn try_take(this: &Rc<Self>) -> Option<Seat> {
        (this.taken.get() < this.max.get()).then(|| Self::take(this))
    }

    pub(super) fn set_max(this: &Rc<Self>, max: u32) {
        this.max.set(max);
        Self::grant(this);
    }

    /// Every seat that is taken is of an older era from here on.
    pub(super) fn recall(&self) {
        self.era.set(self.era.get().wrapping_add(1));
    }

    pub(super) fn max(&self) -> u32 {
        self.max.get()
    }

    /// Seats taken, those of who waits for a permit or dials included.
    pub(super) fn taken(&self) -> u32 {
        self.taken.get()
    }

    /// Seats that have a connection.
    pub(super) fn connected(&self) -> u32 {
        self.connected.get()
    }

    /// Whether more connections exist than a limit that was lowered allows.
    pub(super) fn exceed_max(&self) -> bool {
        self.connected.get() > self.max.get()
    }

    /// Whether more seats are taken than a limit that was lowered allows.
    pub(super) fn are_crowded(&self) -> bool {
        self.taken.get() > self.max.get()
    }

    pub(super) fn enqueue(&self, wants_seat: bool) -> oneshot::Receiver<Grant> {
        let (grant, receiver) = oneshot::channel();
        let waiter = Waiter { wants_seat, grant };
        self.queue.borrow_mut().push_back(waiter);
        receiver
    }

    pub(super) fn waiting(&self) -> usize {
        let queue = self.queue.borrow();
        queue
            .iter()
            .filter(|waiter| !waiter.grant.is_closed())
            .count()
    }

    /// The client that has waited longest, for a connection.
    pub(super) fn next_waiter(&self) -> Option<oneshot::Sender<Grant>> {
        let waiter = self.queue.borrow_mut().pop_front()?;
        Some(waiter.grant)
    }

    fn take(this: &Rc<Self>) -> Seat {
        this.taken.set(this.taken.get() + 1);
        Seat {
            seats: Rc::clone(this),
            has_connection: false,
            era: this.era.get(),
        }
    }

    /// Serves who waits for a seat, while there are any.
    fn grant(this: &Rc<Self>) {
        while this.taken.get() < this.max.get() {
            let Some(waiter) = this.next_for_seat() else {
                return;
            };
            // A waiter that closes in between drops the seat, and that serves the next one.
            drop(waiter.grant.send(Grant::Seat(Self::take(this))));
        }
    }

    /// The client that has waited longest for a seat, those that have given up passed over.
    fn next_for_seat(&self) -> Option<Waiter> {
        let mut queue = self.queue.borrow_mut();
        queue.retain(|waiter| !waiter.grant.is_closed());
        let index = queue.iter().position(|waiter| waiter.wants_seat)?;
        queue.remove(index)
    }
}

impl Seat {
    /// Whether it was taken before the owner's connections were recalled.
    pub(super) fn is_recalled(&self) -> bool {
        self.era != self.seats.era.get()
    }

    /// There is a connection on it from here on.
    pub(super) fn connect(&mut self) {
        if !std::mem::replace(&mut self.has_connection, true) {
            let connected = &self.seats.connected;
            connected.set(connected.get() + 1);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let seats = &self.seats;
        seats.taken.set(seats.taken.get().saturating_sub(1));
        if self.has_connection {
            seats.connected.set(seats.connected.get().saturating_sub(1));
        }
        Seats::grant(seats);
    }
}

//! The upstream's connection limit, shared by all workers, and who gets the next permit.
//!
//! Waiters queue per user, and who has least is served first ([`super::turns`]), so that one user's storm delays only that user.
//! Touched when a connection is opened, closed or waited for, never for a transaction that finds a connection in its own factory:
//! there two atomic loads say whether anybody waits, and whether more exist than the limit.

mod books;
mod queue;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;

use super::key::{Holder, LaneName};
use books::Books;
use queue::Waiter;
pub use queue::{Promise, Ticket, Turn};

/// The limit of one upstream.
#[derive(Debug)]
pub struct Limiter {
    books: Mutex<Books>,
    gauges: LimiterGauges,
    over: AtomicBool,
}

/// Where a limiter keeps what the metrics show of it: the very numbers that it goes by.
#[derive(Clone, Debug)]
pub struct LimiterGauges {
    /// Who waits for a permit now.
    pub waiting: IntGauge,
    /// The limit.
    pub capacity: IntGauge,
}

/// The right to one server connection. Dropping it passes the right on.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<Limiter>,
    holder: Option<Holder>,
}

/// What a factory needs of a connection that one of its clients gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Another of its clients waits for it.
    Waiting,
    /// Its clients will want it again.
    Idle,
    /// Nothing: none of its clients is left.
    None,
}

impl Limiter {
    /// A limit of `capacity` connections, shown in these gauges, which are no other limiter's.
    #[must_use]
    pub fn new(capacity: usize, gauges: LimiterGauges) -> Arc<Self> {
        gauges.capacity.set(whole(capacity));
        Arc::new(Self {
            books: Mutex::new(Books {
                capacity,
                ..Books::default()
            }),
            gauges,
            over: AtomicBool::new(false),
        })
    }

    /// Changes the limit. A lower one closes nothing by itself: [`Limiter::is_over`] tells who has an idle connection to close it.
    pub fn set_capacity(self: &Arc<Self>, capacity: usize) {
        let mut books = self.books();
        books.capacity = capacity;
        self.gauges.capacity.set(whole(capacity));
        self.compare(&books);
        drop(books);
        self.grant();
    }

    /// A permit at once, or nothing: where the limit is reached, or where somebody waits already.
    #[must_use]
    pub fn try_acquire(self: &Arc<Self>, holder: Option<&Holder>) -> Option<Permit> {
        let mut books = self.books();
        if books.in_use >= books.capacity || !books.turns.is_empty() {
            return None;
        }
        books.enter(holder);
        Some(self.permit(holder.cloned()))
    }

    /// A place at the end of the holder's queue, of one who would as well take another owner's connection of this lane, where one
    /// is named. Dropping the ticket leaves the queue.
    #[must_use]
    pub fn enqueue(self: &Arc<Self>, holder: &Holder, takes: Option<LaneName>) -> Ticket {
        let (waiter, turn) = Waiter::new(takes);
        let mut books = self.books();
        // Nobody else comes to wait under this lock.
        let ahead = usize::try_from(self.gauges.waiting.get()).unwrap_or_default();
        self.gauges.waiting.inc();
        let held = books.count(holder);
        let number = books.turns.enter(holder, held, waiter);
        drop(books);
        self.grant();
        Ticket::new(turn, ahead, (Arc::clone(self), holder.clone(), number))
    }

    /// Takes the next turn out of the queue, for a connection of this lane that exists already: if it is within the limit, and if
    /// whose turn it is takes one.
    #[must_use]
    pub fn promise(&self, lane: &LaneName) -> Option<Promise> {
        let mut books = self.books();
        if books.in_use > books.capacity || !books.turns.first_waiter()?.takes(lane) {
            return None;
        }
        let (holder, waiter) = books.turns.next()?;
        self.gauges.waiting.dec();
        Some(Promise { holder, waiter })
    }

    /// Whether anybody waits. One atomic load.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.gauges.waiting.get() > 0
    }

    /// Whether more connections exist than a limit that was lowered allows. One atomic load.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether an idle connection should be closed: for somebody who waits, or for a limit that was lowered.
    #[must_use]
    pub fn wants_room(&self) -> bool {
        self.has_waiters() || self.is_over()
    }

    /// Whether `holder` should give a connection up to the user whose turn is next: to another who has fewer, to anybody where
    /// none of the factory's clients is left, or to itself where the waiter is one of its other factories.
    #[must_use]
    pub fn should_yield(&self, holder: &Holder, need: Need) -> bool {
        let books = self.books();
        books.in_use >= books.capacity
            && books.turns.first().is_some_and(|next| match need {
                Need::None => true,
                // Its own waiters take the connection anyway.
                Need::Waiting if next == holder => false,
                Need::Idle if next == holder => true,
                Need::Waiting | Need::Idle => books.count(next) < books.count(holder),
            })
    }

    /// Whose turn is next.
    #[must_use]
    pub fn next_in_turn(&self) -> Option<Holder> {
        self.books().turns.first().cloned()
    }

    /// Who holds more connections than `holder`, those with most first, and then `holder` itself, for another of its factories:
    /// where an idle connection should be closed for it.
    #[must_use]
    pub fn richer_than(&self, holder: &Holder) -> Vec<Holder> {
        let own = self.books().count(holder);
        let mut richer = self.richest(own);
        if own > 0 {
            richer.push(holder.clone());
        }
        richer
    }

    /// Who holds more than `least` connections, those with most first.
    #[must_use]
    pub fn richest(&self, least: usize) -> Vec<Holder> {
        let books = self.books();
        let mut richest: Vec<_> = books
            .held
            .iter()
            .filter(|(_, held)| **held > least)
            .collect();
        richest.sort_by(|a, b| b.1.cmp(a.1));
        richest.into_iter().map(|(who, _)| who.clone()).collect()
    }

    /// Connections in use, spares and those being opened included.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.books().in_use
    }

    /// The limit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.books().capacity
    }

    fn permit(self: &Arc<Self>, holder: Option<Holder>) -> Permit {
        Permit {
            limiter: Arc::clone(self),
            holder,
        }
    }

    /// Serves waiters while there is room, in turn.
    fn grant(self: &Arc<Self>) {
        loop {
            let (waiter, holder) = {
                let mut books = self.books();
                if books.in_use >= books.capacity {
                    return;
                }
                let Some((holder, waiter)) = books.turns.next() else {
                    return;
                };
                self.gauges.waiting.dec();
                books.enter(Some(&holder));
                (waiter, holder)
            };
            // Where the waiter has gone meanwhile, the permit comes back and is dropped, which serves the next one.
            drop(waiter.serve(Turn::Permit(self.permit(Some(holder)))));
        }
    }

    fn compare(&self, books: &Books) {
        let over = books.in_use > books.capacity;
        self.over.store(over, Ordering::Relaxed);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As a gauge shows it.
fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Permit {
    /// Names the user for whom the permit is used from now on.
    pub fn assign(&mut self, holder: &Holder) {
        if self.holder.as_ref() == Some(holder) {
            return;
        }
        let mut books = self.limiter.books();
        books.leave(self.holder.as_ref());
        books.enter(Some(holder));
        drop(books);
        self.holder = Some(holder.clone());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut books = self.limiter.books();
        books.leave(self.holder.as_ref());
        self.limiter.compare(&books);
        drop(books);
        self.limiter.grant();
    }
}

#[cfg(test)]
mod tests;

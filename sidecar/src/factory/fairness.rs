//! The upstream's connection limit, shared by all workers, and who gets the next permit.
//!
//! Waiters queue per user, and who has least is served first ([`super::turns`]), so that one user's storm delays only that user.
//! Touched when a connection is opened, closed or waited for, never for a transaction that finds a connection in its own factory:
//! there two atomic loads say whether anybody waits, and whether more exist than the limit.

mod books;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::key::Holder;
use books::Books;

/// The limit of one upstream.
#[derive(Debug)]
pub struct Limiter {
    books: Mutex<Books>,
    waiting: AtomicUsize,
    over: AtomicBool,
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

/// A place in the queue.
#[derive(Debug)]
pub struct Ticket {
    /// Resolves to the permit.
    pub permit: oneshot::Receiver<Permit>,
    /// Waiters of all users that were in the queue before.
    pub ahead: usize,
    place: Place,
}

/// Somebody's turn, taken out of the queue by who will serve it without a new permit.
#[derive(Debug)]
pub struct Promise {
    /// Whose turn it is.
    pub holder: Holder,
    sender: oneshot::Sender<Permit>,
}

#[derive(Debug)]
struct Place {
    limiter: Arc<Limiter>,
    holder: Holder,
    number: u64,
}

impl Limiter {
    /// A limit of `capacity` connections.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            books: Mutex::new(Books {
                capacity,
                ..Books::default()
            }),
            waiting: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// Changes the limit. A lower one closes nothing by itself: [`Limiter::is_over`] tells who has an idle connection to close it.
    pub fn set_capacity(self: &Arc<Self>, capacity: usize) {
        let mut books = self.books();
        books.capacity = capacity;
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

    /// A place at the end of the holder's queue. Dropping the ticket leaves the queue.
    #[must_use]
    pub fn enqueue(self: &Arc<Self>, holder: &Holder) -> Ticket {
        let (sender, permit) = oneshot::channel();
        let mut books = self.books();
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let held = books.count(holder);
        let number = books.turns.enter(holder, held, sender);
        drop(books);
        self.grant();
        Ticket {
            permit,
            ahead,
            place: Place {
                limiter: Arc::clone(self),
                holder: holder.clone(),
                number,
            },
        }
    }

    /// Takes the next turn out of the queue, if `serves` says of its number that it will be served with a connection that
    /// exists already, and if that connection is within the limit.
    #[must_use]
    pub fn promise(&self, serves: impl FnOnce(u64) -> bool) -> Option<Promise> {
        let mut books = self.books();
        if books.in_use > books.capacity || !serves(books.turns.first_number()?) {
            return None;
        }
        let (holder, sender) = books.turns.next()?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(Promise { holder, sender })
    }

    /// Whether anybody waits. One atomic load.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
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
            let (sender, holder) = {
                let mut books = self.books();
                if books.in_use >= books.capacity {
                    return;
                }
                let Some((holder, sender)) = books.turns.next() else {
                    return;
                };
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                books.enter(Some(&holder));
                (sender, holder)
            };
            // Where the waiter has gone meanwhile, the permit comes back and is dropped, which serves the next one.
            drop(sender.send(self.permit(Some(holder))));
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

impl Ticket {
    /// Which one; no other ticket of this limiter has the same.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.place.number
    }
}

impl Promise {
    /// Gives the permit of a connection that could not be kept: to whom it was promised, or whoever is next.
    pub fn pay(self, permit: Permit) {
        drop(self.sender.send(permit));
    }
}

impl Permit {
    /// Names the user for whom a permit without one is used from now on.
    pub fn assign(&mut self, holder: &Holder) {
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

impl Drop for Place {
    fn drop(&mut self) {
        if self
            .limiter
            .books()
            .turns
            .abandon(&self.holder, self.number)
        {
            self.limiter.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

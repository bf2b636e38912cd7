//! The upstream's connection limit, shared by all workers, and who gets the next permit.
//!
//! Waiters queue per user and are served round-robin, so that one user's storm delays only that user. Touched when a
//! connection is opened, closed or waited for, never for a transaction that finds a connection in its own factory: there
//! one atomic load says whether anybody waits.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::key::Holder;

/// The limit of one upstream.
#[derive(Debug)]
pub struct Limiter {
    books: Mutex<Books>,
    waiting: AtomicUsize,
}

/// The right to one server connection. Dropping it passes the right on.
#[derive(Debug)]
pub struct Permit {
    limiter: Arc<Limiter>,
    holder: Option<Holder>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Ticket {
    /// Resolves to the permit.
    pub permit: oneshot::Receiver<Permit>,
    /// Waiters of all users that were in the queue before.
    pub ahead: usize,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    limiter: Arc<Limiter>,
    holder: Holder,
    number: u64,
}

#[derive(Debug, Default)]
struct Books {
    capacity: usize,
    in_use: usize,
    held: HashMap<Holder, usize>,
    turns: VecDeque<Holder>,
    queues: HashMap<Holder, VecDeque<(u64, oneshot::Sender<Permit>)>>,
    next_number: u64,
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
        })
    }

    /// Changes the limit. A lower one closes nothing by itself: connections above it are not replaced.
    pub fn set_capacity(self: &Arc<Self>, capacity: usize) {
        self.books().capacity = capacity;
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
        let number = books.next_number;
        books.next_number += 1;
        let queue = books.queues.entry(holder.clone()).or_default();
        queue.push_back((number, sender));
        if queue.len() == 1 {
            books.turns.push_back(holder.clone());
        }
        drop(books);
        self.grant();
        Ticket {
            permit,
            ahead,
            _place: Place {
                limiter: Arc::clone(self),
                holder: holder.clone(),
                number,
            },
        }
    }

    /// Whether anybody waits. One atomic load.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether `holder` should give a connection up for those who wait: because one of them has fewer, or is another of its own
    /// factories (`served_here`: its own waiters take the connection anyway). Whose turn is first need not be one: turns are
    /// kept, and who is behind a richer one comes to be first by it.
    #[must_use]
    pub fn should_yield(&self, holder: &Holder, served_here: bool) -> bool {
        let books = self.books();
        let own = books.count(holder);
        books.in_use >= books.capacity
            && books.turns.iter().any(|waits| {
                if waits == holder {
                    !served_here
                } else {
                    books.count(waits) < own
                }
            })
    }

    /// Whose turn is next.
    #[must_use]
    pub fn next_in_turn(&self) -> Option<Holder> {
        self.books().turns.front().cloned()
    }

    /// Who holds more connections than `holder`, those with most first, and then `holder` itself, for another of its factories:
    /// where an idle connection should be closed for it.
    #[must_use]
    pub fn richer_than(&self, holder: &Holder) -> Vec<Holder> {
        let books = self.books();
        let own = books.count(holder);
        let mut richer: Vec<_> = books.held.iter().filter(|(_, held)| **held > own).collect();
        richer.sort_by(|a, b| b.1.cmp(a.1));
        let mut richer: Vec<_> = richer.into_iter().map(|(who, _)| who.clone()).collect();
        if own > 0 {
            richer.push(holder.clone());
        }
        richer
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

    /// Serves waiters while there is room: one a user, in turn.
    fn grant(self: &Arc<Self>) {
        loop {
            let (sender, holder) = {
                let mut books = self.books();
                if books.in_use >= books.capacity {
                    return;
                }
                let Some((holder, sender)) = books.next_waiter() else {
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

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn count(&self, holder: &Holder) -> usize {
        self.held.get(holder).copied().unwrap_or(0)
    }

    fn enter(&mut self, holder: Option<&Holder>) {
        self.in_use += 1;
        if let Some(holder) = holder {
            *self.held.entry(holder.clone()).or_default() += 1;
        }
    }

    fn leave(&mut self, holder: Option<&Holder>) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(holder) = holder
            && let Some(held) = self.held.get_mut(holder)
        {
            *held -= 1;
            if *held == 0 {
                self.held.remove(holder);
            }
        }
    }

    fn next_waiter(&mut self) -> Option<(Holder, oneshot::Sender<Permit>)> {
        let holder = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&holder)?;
        let (_, sender) = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&holder);
        } else {
            self.turns.push_back(holder.clone());
        }
        Some((holder, sender))
    }

    /// Removes a waiter that has given up; whether it was still there.
    fn abandon(&mut self, holder: &Holder, number: u64) -> bool {
        let Some(queue) = self.queues.get_mut(holder) else {
            return false;
        };
        let before = queue.len();
        queue.retain(|(other, _)| *other != number);
        let found = queue.len() < before;
        if queue.is_empty() {
            self.queues.remove(holder);
            self.turns.retain(|other| other != holder);
        }
        found
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
        self.limiter.books().leave(self.holder.as_ref());
        self.limiter.grant();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.limiter.books().abandon(&self.holder, self.number) {
            self.limiter.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;

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

    /// Whether `holder` should give a connection up to the user whose turn is next: to another who has fewer, or to itself
    /// where the waiter is one of its other factories (`served_here`: its own waiters take the connection anyway).
    #[must_use]
    pub fn should_yield(&self, holder: &Holder, served_here: bool) -> bool {
        let books = self.books();
        books.in_use >= books.capacity
            && books.turns.front().is_some_and(|next| {
                if next == holder {
                    !served_here
                } else {
                    books.count(next) < books.count(holder)
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
mod tests {
    use super::super::key::Owner;
    use super::*;
    use crate::identity::UserId;

    fn holder(name: &str) -> Holder {
        Holder {
            owner: Owner::User(UserId::parse(name).unwrap()),
            worker: 0,
        }
    }

    #[test]
    fn a_permit_is_given_until_the_limit_and_again_when_one_is_dropped() {
        let limiter = Limiter::new(1);
        let alice = holder("alice");
        let first = limiter.try_acquire(Some(&alice)).unwrap();
        assert!(limiter.try_acquire(Some(&alice)).is_none());
        drop(first);
        assert!(limiter.try_acquire(Some(&alice)).is_some());
    }

    #[test]
    fn waiters_are_served_in_turn_by_user_not_by_arrival() {
        let limiter = Limiter::new(1);
        let (alice, bob) = (holder("alice"), holder("bob"));
        let held = limiter.try_acquire(Some(&holder("carol"))).unwrap();
        let mut storm: Vec<_> = (0..3).map(|_| limiter.enqueue(&alice)).collect();
        let mut quiet = limiter.enqueue(&bob);
        assert_eq!(quiet.ahead, 3);
        drop(held);
        let first = storm[0].permit.try_recv().unwrap();
        drop(first);
        assert!(quiet.permit.try_recv().is_ok(), "bob's turn comes second");
        assert!(storm[1].permit.try_recv().is_ok());
    }

    #[test]
    fn a_waiter_that_gives_up_leaves_the_queue() {
        let limiter = Limiter::new(1);
        let held = limiter.try_acquire(Some(&holder("carol"))).unwrap();
        let gone = limiter.enqueue(&holder("alice"));
        let mut stays = limiter.enqueue(&holder("bob"));
        drop(gone);
        drop(held);
        assert!(stays.permit.try_recv().is_ok());
        assert!(!limiter.has_waiters());
    }

    #[test]
    fn a_permit_that_its_waiter_never_took_is_passed_on() {
        let limiter = Limiter::new(1);
        let held = limiter.try_acquire(Some(&holder("carol"))).unwrap();
        let granted = limiter.enqueue(&holder("alice"));
        let mut next = limiter.enqueue(&holder("bob"));
        drop(held);
        drop(granted);
        assert!(next.permit.try_recv().is_ok());
    }

    #[test]
    fn who_holds_more_than_the_next_in_turn_yields() {
        let limiter = Limiter::new(2);
        let (alice, bob) = (holder("alice"), holder("bob"));
        let _two = [
            limiter.try_acquire(Some(&alice)).unwrap(),
            limiter.try_acquire(Some(&alice)).unwrap(),
        ];
        assert!(!limiter.should_yield(&alice, false), "nobody waits");
        let _ticket = limiter.enqueue(&bob);
        assert!(limiter.should_yield(&alice, false));
        assert_eq!(limiter.richer_than(&bob), vec![alice]);
    }

    #[test]
    fn a_spare_that_is_assigned_counts_for_its_user() {
        let limiter = Limiter::new(2);
        let mut spare = limiter.try_acquire(None).unwrap();
        let alice = holder("alice");
        assert!(limiter.richer_than(&holder("bob")).is_empty());
        spare.assign(&alice);
        assert_eq!(limiter.in_use(), 1);
        assert_eq!(limiter.richer_than(&holder("bob")), vec![alice]);
    }

    #[test]
    fn a_raised_limit_serves_waiters_at_once() {
        let limiter = Limiter::new(0);
        let mut ticket = limiter.enqueue(&holder("alice"));
        assert!(ticket.permit.try_recv().is_err());
        limiter.set_capacity(1);
        assert!(ticket.permit.try_recv().is_ok());
    }
}

//! Whose turn is next among those who wait for a permit of the upstream. Pure.
//!
//! A turn goes to the holder that has least: nobody gets a second connection before everybody who waits has a first. Among
//! holders that have as much as each other turns go round, and each holder's own waiters are served in the order in which they
//! came. So a storm waits behind its own connections, and never stands in front of somebody who has none.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::key::Holder;

/// A place in the order: the connections that its holder has, and since when it waits for this turn.
type Place = (usize, u64);

/// The waiters, of type `W`, in the order of their turns.
#[derive(Debug)]
pub(super) struct Turns<W> {
    order: BTreeMap<Place, Holder>,
    queues: HashMap<Holder, Queue<W>>,
    next_turn: u64,
    next_ticket: u64,
}

#[derive(Debug)]
struct Queue<W> {
    place: Place,
    waiters: VecDeque<(u64, W)>,
}

impl<W> Default for Turns<W> {
    fn default() -> Self {
        Self {
            order: BTreeMap::new(),
            queues: HashMap::new(),
            next_turn: 0,
            next_ticket: 0,
        }
    }
}

impl<W> Turns<W> {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whose turn is next.
    pub(super) fn first(&self) -> Option<&Holder> {
        self.order.values().next()
    }

    /// The waiter whose turn is next.
    pub(super) fn first_waiter(&self) -> Option<&W> {
        let waiters = &self.queues.get(self.first()?)?.waiters;
        waiters.front().map(|(_, waiter)| waiter)
    }

    /// A place at the end of the holder's queue; `held` is how many connections the holder has. The number is for
    /// [`Turns::abandon`].
    pub(super) fn enter(&mut self, holder: &Holder, held: usize, waiter: W) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if let Some(queue) = self.queues.get_mut(holder) {
            queue.waiters.push_back((ticket, waiter));
        } else {
            self.line_up(holder.clone(), held, VecDeque::from([(ticket, waiter)]));
        }
        ticket
    }

    /// Takes out the waiter whose turn it is. Others of the same holder line up behind everybody who has as much.
    pub(super) fn next(&mut self) -> Option<(Holder, W)> {
        let ((held, _), holder) = self.order.pop_first()?;
        let mut waiters = self.queues.remove(&holder)?.waiters;
        let (_, waiter) = waiters.pop_front()?;
        if !waiters.is_empty() {
            self.line_up(holder.clone(), held, waiters);
        }
        Some((holder, waiter))
    }

    /// The holder has another number of connections now. It keeps its turn among those who have as much.
    pub(super) fn recount(&mut self, holder: &Holder, held: usize) {
        let Some(queue) = self.queues.get_mut(holder) else {
            return;
        };
        if let Some(holder) = self.order.remove(&queue.place) {
            queue.place.0 = held;
            self.order.insert(queue.place, holder);
        }
    }

    /// Removes a waiter that has given up; whether it was still there.
    pub(super) fn abandon(&mut self, holder: &Holder, ticket: u64) -> bool {
        let Some(queue) = self.queues.get_mut(holder) else {
            return false;
        };
        let before = queue.waiters.len();
        queue.waiters.retain(|(other, _)| *other != ticket);
        let found = queue.waiters.len() < before;
        if queue.waiters.is_empty() {
            let place = queue.place;
            self.queues.remove(holder);
            self.order.remove(&place);
        }
        found
    }

    fn line_up(&mut self, holder: Holder, held: usize, waiters: VecDeque<(u64, W)>) {
        let place = (held, self.next_turn);
        self.next_turn += 1;
        self.order.insert(place, holder.clone());
        self.queues.insert(holder, Queue { place, waiters });
    }
}

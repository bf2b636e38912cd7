//! Places in the queue, and what is brought to who stands there: once, by whoever has taken the turn out of the queue.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::handover;
use super::super::key::{Holder, LaneName};
use super::super::server::Relinquished;
use super::{Limiter, Permit};

/// What a waiter gets when its turn comes. It may come from any worker.
#[derive(Debug)]
pub enum Turn {
    /// The right to open a connection.
    Permit(Permit),
    /// A connection that another owner has given up, with the right to it.
    Connection(Box<Relinquished>),
}

/// A place in the queue.
#[derive(Debug)]
pub struct Ticket {
    /// Resolves when the turn has come.
    pub turn: oneshot::Receiver<Turn>,
    /// Waiters of all users that were in the queue before.
    pub ahead: usize,
    limiter: Arc<Limiter>,
    holder: Holder,
    number: u64,
}

/// Somebody's turn, taken out of the queue by who will serve it without a new permit.
#[derive(Debug)]
pub struct Promise {
    /// Whose turn it is.
    pub holder: Holder,
    pub(super) waiter: Waiter,
}

/// The other end of a ticket.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Of which lane a connection would do.
    takes: Option<LaneName>,
    turn: oneshot::Sender<Turn>,
}

impl Waiter {
    pub(super) fn new(takes: Option<LaneName>) -> (Self, oneshot::Receiver<Turn>) {
        let (turn, receiver) = oneshot::channel();
        (Self { takes, turn }, receiver)
    }

    pub(super) fn takes(&self, lane: &LaneName) -> bool {
        self.takes.as_ref() == Some(lane)
    }

    /// Gives it back where nobody waits any more.
    pub(super) fn serve(self, turn: Turn) -> Result<(), Turn> {
        self.turn.send(turn)
    }
}

impl Promise {
    /// Brings the connection to whom it was promised.
    ///
    /// # Errors
    /// They have given up: the connection comes back.
    pub fn keep(self, given: Box<Relinquished>) -> Result<(), Box<Relinquished>> {
        match self.waiter.serve(Turn::Connection(given)) {
            Err(Turn::Connection(given)) => Err(given),
            Ok(()) | Err(Turn::Permit(_)) => Ok(()),
        }
    }
}

impl Ticket {
    pub(super) fn new(
        turn: oneshot::Receiver<Turn>,
        ahead: usize,
        (limiter, holder, number): (Arc<Limiter>, Holder, u64),
    ) -> Self {
        Self {
            turn,
            ahead,
            limiter,
            holder,
            number,
        }
    }

    fn leave_the_queue(&self) -> bool {
        let left = self
            .limiter
            .books()
            .turns
            .abandon(&self.holder, self.number);
        if left {
            self.limiter.gauges.waiting.dec();
        }
        left
    }
}

impl Drop for Ticket {
    /// What has been brought and not been taken goes to who is next: a permit by itself, a connection from hand to hand.
    fn drop(&mut self) {
        if self.leave_the_queue() {
            return;
        }
        self.turn.close();
        if let Ok(Turn::Connection(given)) = self.turn.try_recv() {
            drop(handover::pass_on(&self.limiter, given));
        }
    }
}

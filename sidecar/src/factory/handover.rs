//! A connection that its owner gives up for somebody who waits: closed, or in tier `Reset` cleaned and handed over.
//!
//! Handed over within a lane only, and to who waits on this worker; anybody else dials with the permit that closing it frees. The
//! turn is taken out of the queue before the reset begins, so that nobody is served twice, and whoever it was gets the connection, or
//! its permit where it could not be proven clean.

use std::rc::Rc;
use std::sync::Arc;

use bulkhead_crds::kinds::Tier;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::fairness::{Limiter, Promise};
use super::lane::Lane;
use super::server::{Owned, Spare};
use crate::protocol::postgres::session::restore;
use crate::worker::Entry;

/// Gives a connection up for whoever's turn is next. It is parked or ready to be, so its server owes nothing.
pub fn give_up(entry: &Entry, owned: Owned) {
    if can_be_reset(entry, &owned) {
        let queue = Queue {
            lane: entry.lane(owned.key()),
            limiter: Arc::clone(&entry.limiter),
        };
        if let Some(turn) = queue.next_turn() {
            spawn_local(queue.hand_over(owned, turn));
            return;
        }
    }
    if entry.limiter.has_waiters() {
        entry.metrics.evictions.inc();
    }
}

fn can_be_reset(entry: &Entry, owned: &Owned) -> bool {
    let force = entry.force_now();
    force.tier() == Tier::Reset
        && owned.server.epoch == entry.epoch_under(&force)
        && !owned.is_recalled()
        && owned.server.cancels.is_empty()
}

/// Who waits for connections of this lane.
struct Queue {
    lane: Rc<Lane>,
    limiter: Arc<Limiter>,
}

/// A waiter of this lane, on this worker, whose turn has come.
struct Turn {
    promise: Promise,
    spare: oneshot::Sender<Spare>,
}

impl Queue {
    fn next_turn(&self) -> Option<Turn> {
        let mut spare = None;
        let promise = self.limiter.promise(|ticket| {
            spare = self.lane.take_wish(ticket);
            spare.is_some()
        })?;
        Some(Turn {
            promise,
            spare: spare?,
        })
    }

    async fn hand_over(self, mut owned: Owned, turn: Turn) {
        owned.promise_to(&turn.promise.holder);
        let limit = Instant::now() + restore::RESTORE_LIMIT;
        match restore::prove_clean(owned, limit).await {
            Ok(cleansed) => self.deliver(Spare::from(cleansed), turn),
            Err((owned, error)) => {
                tracing::debug!(%error, "a server connection could not be handed over");
                turn.promise.pay(owned.close());
            }
        }
    }

    /// Brings a clean connection to who was promised it, or where they have given up, to the next in turn. With nobody left it is
    /// closed, and its permit passes on.
    fn deliver(&self, mut spare: Spare, mut turn: Turn) {
        while let Err(back) = turn.spare.send(spare) {
            spare = back;
            let Some(next) = self.next_turn() else {
                return;
            };
            turn = next;
            spare.promise_to(&turn.promise.holder);
        }
    }
}

#[cfg(test)]
mod tests;

//! A connection that its owner gives up for somebody who waits: closed, or in tier `Reset` handed over and cleaned.
//!
//! The turn is taken out of the limiter's queue, so that nobody is served twice, and the connection is brought to whose turn it is,
//! on whatever worker: through the ticket that they wait with, so that none is ever in anybody's hands who has not asked for it. They
//! clean it before it is theirs, or dial with its permit where it could not be proven clean. Whoever has given up leaves it to the
//! next in turn; with nobody left it is closed, and its permit passes on.
//!
//! What was true where it was given up may have changed when it arrives, so it is asked again there.

use bulkhead_crds::kinds::Tier;
use tokio::time::Instant;

use super::fairness::{Limiter, Permit};
use super::server::{Ground, Owned, Relinquished, Server, Soiled};
use crate::worker::{Entry, Worker};

/// Gives a connection of this worker up for whoever's turn is next. It is parked or ready to be, so its server owes nothing.
pub fn give_up(entry: &Entry, here: usize, owned: Owned) {
    let awaited = entry.limiter.has_waiters();
    if can_be_reset(entry, &owned)
        && pass_on(&entry.limiter, Box::new(owned.relinquish(here))).is_ok()
    {
        return;
    }
    if awaited {
        entry.metrics.evictions.inc();
    }
}

fn can_be_reset(entry: &Entry, owned: &Owned) -> bool {
    let force = entry.force_now();
    force.tier() == Tier::Reset
        && owned.server.epoch == entry.epoch_under(&force)
        && !owned.is_recalled()
        && owned.is_at_rest()
}

/// Brings a connection to whose turn is next, if that is a waiter of its lane.
///
/// # Errors
/// Nobody takes it: the caller closes it.
pub fn pass_on(limiter: &Limiter, mut given: Box<Relinquished>) -> Result<(), Box<Relinquished>> {
    while let Some(promise) = limiter.promise(given.lane()) {
        given.promise_to(&promise.holder);
        match promise.keep(given) {
            Ok(()) => return Ok(()),
            Err(back) => given = back,
        }
    }
    Err(given)
}

/// Takes in a connection that has come to one of this worker's waiters.
///
/// # Errors
/// It may not be used any more, and is closed: its permit is for one that is opened in its place.
pub fn receive(worker: &Worker, entry: &Entry, given: Relinquished) -> Result<Soiled, Permit> {
    let ground = Ground {
        worker: worker.index,
        slab: &worker.slab,
        register: &entry.servers,
    };
    let mut soiled = given.settle(ground).map_err(|(permit, error)| {
        tracing::debug!(%error, "a server connection could not be moved");
        permit
    })?;
    if may_be_used(entry, soiled.server()) {
        Ok(soiled)
    } else {
        Err(soiled.close())
    }
}

fn may_be_used(entry: &Entry, server: &mut Server) -> bool {
    let force = entry.force_now();
    force.tier() == Tier::Reset
        && !entry.steering.is_paused()
        && server.is_young(Instant::now())
        && server.is_usable(entry.epoch_under(&force))
}

#[cfg(test)]
mod tests;

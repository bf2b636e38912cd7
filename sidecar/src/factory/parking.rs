//! Where a connection goes that its client lets go of: into its owner's pool, to somebody who has less, or nowhere.

use std::rc::Rc;

use bulkhead_crds::kinds::Tier;
use tokio::time::Instant;

use super::handover;
use super::pool::Factory;
use super::server::Owned;
use crate::worker::Entry;

/// Puts a clean connection into its owner's pool, or gives it up for somebody who has less.
pub fn park(entry: &Rc<Entry>, factory: &Rc<Factory>, mut owned: Owned, now: Instant) {
    let (epoch, tier) = {
        let force = entry.force_now();
        (entry.epoch_under(&force), force.tier())
    };
    let server = &mut owned.server;
    if server.epoch != epoch || !server.is_young(now) || server.cancels.is_lost() {
        return;
    }
    if server.is_retired() || owned.is_recalled() || entry.steering.is_paused() {
        return;
    }
    let limiter = &entry.limiter;
    // What is above a limit that was lowered goes when it is given back.
    if factory.exceeds_max() || limiter.is_over() {
        return;
    }
    if limiter.has_waiters() && limiter.should_yield(&factory.holder, factory.need()) {
        handover::give_up(entry, factory.holder.worker, owned);
        return;
    }
    factory.park(owned, now);
    if tier == Tier::Reset && factory.offers_once() {
        entry.lane(&factory.key.lane()).offer(factory);
    }
}

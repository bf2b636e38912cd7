//! Idle connections that must go: whose, and on which worker.

use std::sync::Arc;

use super::mailbox::{Letter, Reclaim};
use super::{Entry, Worker};
use crate::factory::handover;
use crate::factory::key::Holder;
use crate::factory::pool::Factory;
use crate::factory::server::Owned;

impl Worker {
    /// Asks for an idle connection of somebody richer to be closed, on whatever worker.
    pub fn reclaim(&self, entry: &Entry, holder: &Holder) {
        self.pass_on(Reclaim {
            entry: Arc::clone(&entry.force().name),
            spares: (0..self.process.workers()).collect(),
            holders: entry.limiter.richer_than(holder).into(),
        });
    }

    /// Asks for an idle connection to be closed while more exist than the upstream's limit allows: whoever closes one asks for
    /// the next.
    pub fn trim(&self, entry: &Entry) {
        if entry.limiter.is_over() {
            self.pass_on(Reclaim {
                entry: Arc::clone(&entry.force().name),
                spares: (0..self.process.workers()).collect(),
                holders: entry.limiter.richest(0).into(),
            });
        }
    }

    /// Closes an idle connection for somebody who waits or for a limit that was lowered, or asks the next.
    pub fn answer_reclaim(&self, mut reclaim: Reclaim) {
        let Some(entry) = self.entry(&reclaim.entry) else {
            return;
        };
        if !entry.limiter.wants_room() {
            return;
        }
        let somebody_waits = entry.limiter.has_waiters();
        let found = if reclaim.spares.front() == Some(&self.index) {
            reclaim.spares.pop_front();
            if entry.lanes().iter().any(|lane| lane.close_spare()) {
                if somebody_waits {
                    entry.metrics.evictions.inc();
                }
                return self.trim(&entry);
            }
            self.take_abandoned(&reclaim.entry)
        } else if let Some(holder) = reclaim.holders.pop_front() {
            self.take_longest_idle(&reclaim.entry, &holder)
        } else {
            return;
        };
        match found {
            Some(owned) => {
                handover::give_up(&entry, owned);
                self.trim(&entry);
                // It went to whose turn it was, who need not be the one that had asked.
                if let Some(next) = entry.limiter.next_in_turn() {
                    self.reclaim(&entry, &next);
                }
            }
            None => self.pass_on(reclaim),
        }
    }

    fn pass_on(&self, reclaim: Reclaim) {
        let next = match (reclaim.spares.front(), reclaim.holders.front()) {
            (Some(worker), _) => *worker,
            (None, Some(holder)) => holder.worker,
            (None, None) => return,
        };
        self.process.send(next, Letter::Reclaim(reclaim));
    }

    fn take_abandoned(&self, entry: &str) -> Option<Owned> {
        self.take_idle_of(entry, |factory| factory.clients() == 0)
    }

    fn take_longest_idle(&self, entry: &str, holder: &Holder) -> Option<Owned> {
        self.take_idle_of(entry, |factory| factory.holder == *holder)
    }

    fn take_idle_of(&self, entry: &str, which: impl Fn(&Factory) -> bool) -> Option<Owned> {
        let factories = self.factories.borrow();
        let mut of_entry = factories
            .values()
            .filter(|factory| *factory.key.upstream == *entry && which(factory));
        of_entry.find_map(|factory| factory.take_longest_idle())
    }
}

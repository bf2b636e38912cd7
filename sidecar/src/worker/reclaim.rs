//! Idle connections that must go: whose, and on which worker.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::mailbox::{Letter, Reclaim};
use super::{Entry, Worker};
use crate::factory::handover;
use crate::factory::key::Holder;
use crate::factory::pool::Factory;
use crate::factory::server::Owned;

impl Worker {
    /// Asks for an idle connection of somebody richer to be given up, on whatever worker.
    pub fn reclaim(&self, entry: &Entry, holder: &Holder) {
        self.ask_all(entry, Some(holder.clone()));
    }

    /// Asks for an idle connection to be closed while more exist than the upstream's limit allows: whoever closes one asks for
    /// the next.
    pub fn trim(&self, entry: &Entry) {
        if entry.limiter.is_over() {
            self.ask_all(entry, None);
        }
    }

    fn ask_all(&self, entry: &Entry, holder: Option<Holder>) {
        self.send_on(Reclaim {
            entry: Arc::clone(&entry.force_now().name),
            holder,
            spares: (0..self.process.workers()).collect(),
            idle: false,
            holders: VecDeque::new(),
        });
    }

    /// Gives an idle connection up for somebody who waits or for a limit that was lowered, or asks the next.
    ///
    /// Where everybody works there is nothing idle, and many wait: so that is found out first, with a letter to each worker.
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
            let idle = entry.may_have_idle();
            reclaim.idle |= idle;
            idle.then(|| self.take_abandoned(&reclaim.entry)).flatten()
        } else {
            self.take_of_richest(&reclaim.entry, &mut reclaim.holders)
        };
        match found {
            Some(owned) => {
                handover::give_up(&entry, self.index, owned);
                self.trim(&entry);
                // It went to whose turn it was, who need not be the one that had asked.
                if let Some(next) = entry.limiter.next_in_turn() {
                    self.reclaim(&entry, &next);
                }
            }
            None => self.pass_on(&entry, reclaim),
        }
    }

    fn pass_on(&self, entry: &Entry, mut reclaim: Reclaim) {
        if reclaim.spares.is_empty() && std::mem::take(&mut reclaim.idle) {
            reclaim.holders = match &reclaim.holder {
                Some(holder) => entry.limiter.richer_than(holder).into(),
                None => entry.limiter.richest(0).into(),
            };
        }
        self.send_on(reclaim);
    }

    fn send_on(&self, reclaim: Reclaim) {
        let next = match (reclaim.spares.front(), reclaim.holders.front()) {
            (Some(worker), _) => *worker,
            (None, Some(holder)) => holder.worker,
            (None, None) => return,
        };
        self.process.send(next, Letter::Reclaim(reclaim));
    }

    fn take_abandoned(&self, entry: &str) -> Option<Owned> {
        let mut idle = self.idle_factories(entry).into_iter();
        let abandoned = idle.find(|factory| factory.clients() == 0)?;
        abandoned.take_longest_idle()
    }

    /// An idle connection of whoever comes first, if that is somebody of this worker. Those of this worker who have nothing idle are
    /// taken out, wherever they come.
    fn take_of_richest(&self, entry: &str, holders: &mut VecDeque<Holder>) -> Option<Owned> {
        let idle = self.idle_factories(entry);
        let have_idle: HashSet<&Holder> = idle.iter().map(|factory| &factory.holder).collect();
        holders.retain(|holder| holder.worker != self.index || have_idle.contains(holder));
        let first = holders.pop_front_if(|holder| holder.worker == self.index)?;
        let its = idle.iter().find(|factory| factory.holder == first)?;
        its.take_longest_idle()
    }

    fn idle_factories(&self, entry: &str) -> Vec<Rc<Factory>> {
        let factories = self.factories.borrow();
        let idle = factories
            .values()
            .filter(|factory| factory.idle() > 0 && *factory.key.upstream == *entry);
        idle.map(Rc::clone).collect()
    }
}

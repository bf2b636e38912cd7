//! Who holds how many connections of one upstream, and who waits.

use std::collections::HashMap;

use super::super::key::Holder;
use super::super::turns::Turns;
use super::queue::Waiter;

#[derive(Debug, Default)]
pub(super) struct Books {
    pub(super) capacity: usize,
    pub(super) in_use: usize,
    pub(super) held: HashMap<Holder, usize>,
    pub(super) turns: Turns<Waiter>,
}

impl Books {
    pub(super) fn count(&self, holder: &Holder) -> usize {
        self.held.get(holder).copied().unwrap_or(0)
    }

    pub(super) fn enter(&mut self, holder: Option<&Holder>) {
        self.in_use += 1;
        if let Some(holder) = holder {
            *self.held.entry(holder.clone()).or_default() += 1;
            self.turns.recount(holder, self.count(holder));
        }
    }

    pub(super) fn leave(&mut self, holder: Option<&Holder>) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(holder) = holder
            && let Some(held) = self.held.get_mut(holder)
        {
            *held -= 1;
            if *held == 0 {
                self.held.remove(holder);
            }
            self.turns.recount(holder, self.count(holder));
        }
    }
}

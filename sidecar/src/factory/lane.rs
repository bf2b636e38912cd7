//! What the factories of one database and role have in common on a worker: spares, and in tier `Reset` who has idle
//! connections to be cleaned.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use tokio::time::Instant;

use super::key::LaneName;
use super::pool::Factory;
use super::server::{Owned, Spare};

/// A database and a role of one upstream, on one worker.
#[derive(Debug)]
pub struct Lane {
    /// Which one.
    pub name: LaneName,
    /// Spares that are being dialled.
    pub dialling: Cell<u32>,
    spares: RefCell<Vec<Spare>>,
    resettable: RefCell<Vec<Weak<Factory>>>,
}

impl Lane {
    /// An empty lane.
    #[must_use]
    pub fn new(name: LaneName) -> Self {
        Self {
            name,
            dialling: Cell::new(0),
            spares: RefCell::default(),
            resettable: RefCell::default(),
        }
    }

    /// A spare that may be used; unusable ones on the way are closed.
    #[must_use]
    pub fn take_spare(&self, now: Instant, epoch: u64) -> Option<Spare> {
        loop {
            let mut spare = self.spares.borrow_mut().pop()?;
            let server = spare.server();
            if server.is_young(now) && server.is_usable(epoch) {
                return Some(spare);
            }
        }
    }

    /// Keeps a spare.
    pub fn keep(&self, spare: Spare) {
        self.spares.borrow_mut().push(spare);
    }

    /// Spares there are, and on their way.
    #[must_use]
    pub fn spares(&self) -> usize {
        self.spares.borrow().len() + self.dialling.get() as usize
    }

    /// Closes one spare; whether there was one.
    pub fn close_spare(&self) -> bool {
        let spare = self.spares.borrow_mut().pop();
        spare.is_some()
    }

    /// Closes the spares whose epoch `which` picks: how many.
    pub fn close_spares(&self, which: impl Fn(u64) -> bool) -> u64 {
        let mut spares = self.spares.borrow_mut();
        let gone = spares.extract_if(.., |spare| which(spare.server().epoch));
        let gone: Vec<_> = gone.collect();
        drop(spares);
        gone.len() as u64
    }

    /// Closes the spares that are too old, of other settings, or dead. How many went for their age.
    pub fn sweep_spares(&self, now: Instant, epoch: u64) -> u64 {
        let mut aged = 0;
        let all = std::mem::take(&mut *self.spares.borrow_mut());
        let kept = all.into_iter().filter_map(|mut spare| {
            let server = spare.server();
            if !server.is_young(now) {
                aged += 1;
                return None;
            }
            server.is_usable(epoch).then_some(spare)
        });
        let kept: Vec<_> = kept.collect();
        self.spares.borrow_mut().extend(kept);
        aged
    }

    /// Notes that a factory has an idle connection that tier `Reset` may clean for another user.
    pub fn offer(&self, factory: &Rc<Factory>) {
        self.resettable.borrow_mut().push(Rc::downgrade(factory));
    }

    /// An idle connection of another factory, to be cleaned.
    #[must_use]
    pub fn take_resettable(&self) -> Option<Owned> {
        loop {
            let weak = self.resettable.borrow_mut().pop()?;
            let Some(factory) = weak.upgrade() else {
                continue;
            };
            let (given, more) = factory.give_up_idle();
            if more {
                self.resettable.borrow_mut().push(weak);
            }
            if given.is_some() {
                return given;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::pool::Factory;
    use crate::worker::fixtures::{Stage, ready, settle};

    fn lane() -> Lane {
        Lane::new(LaneName {
            database: "app".into(),
            role: "app".into(),
        })
    }

    #[tokio::test]
    async fn a_spare_is_taken_once() {
        let (stage, lane) = (Stage::new(|_| {}), lane());
        let (server, _peer) = stage.server();
        lane.keep(Spare::new(server));
        assert_eq!(lane.spares(), 1);
        assert!(lane.take_spare(Instant::now(), 0).is_some());
        assert!(lane.take_spare(Instant::now(), 0).is_none());
    }

    #[tokio::test]
    async fn a_spare_that_is_dead_or_of_another_upstream_is_closed_on_the_way() {
        let (stage, lane) = (Stage::new(|_| {}), lane());
        let (dead, peer) = stage.server();
        drop(peer);
        let (mut old, _old_peer) = stage.server();
        old.epoch = 7;
        lane.keep(Spare::new(dead));
        lane.keep(Spare::new(old));
        settle().await;
        assert!(lane.take_spare(Instant::now(), 0).is_none());
        assert_eq!(stage.entry.limiter.in_use(), 0, "their permits are free");
    }

    #[tokio::test]
    async fn a_spare_that_has_said_what_nobody_asked_is_closed() {
        let (stage, lane) = (Stage::new(|_| {}), lane());
        let (server, mut peer) = stage.server();
        peer.send(&[ready(b'I')]).await;
        lane.keep(Spare::new(server));
        settle().await;
        assert!(lane.take_spare(Instant::now(), 0).is_none());
    }

    #[tokio::test]
    async fn a_sweep_counts_those_that_went_for_their_age() {
        let (stage, lane) = (Stage::new(|_| {}), lane());
        let now = Instant::now();
        let (mut aged, _aged_peer) = stage.server();
        aged.expires = Some(now);
        let (dead, peer) = stage.server();
        drop(peer);
        let (good, _good_peer) = stage.server();
        for server in [aged, dead, good] {
            lane.keep(Spare::new(server));
        }
        settle().await;
        assert_eq!(lane.sweep_spares(now, 0), 1);
        assert_eq!(lane.spares(), 1);
        assert!(lane.close_spare());
        assert!(!lane.close_spare());
    }

    #[tokio::test]
    async fn spares_on_their_way_count() {
        let lane = lane();
        lane.dialling.set(2);
        assert_eq!(lane.spares(), 2);
    }

    #[tokio::test]
    async fn a_factory_offers_its_idle_connections_until_none_is_left() {
        let (stage, lane) = (Stage::new(|_| {}), lane());
        let factory = stage.factory("alice");
        let mut peers = Vec::new();
        for _ in 0..2 {
            let (owned, peer) = stage.owned(&factory);
            peers.push(peer);
            factory.park(owned, Instant::now());
            if factory.offers_once() {
                lane.offer(&factory);
            }
        }
        assert!(lane.take_resettable().is_some());
        assert!(lane.take_resettable().is_some());
        assert!(lane.take_resettable().is_none());
        assert!(factory.offers_once(), "it may offer again");
    }

    #[tokio::test]
    async fn a_factory_that_is_gone_offers_nothing() {
        let (stage, lane) = (Stage::new(|_| {}), lane());
        let factory = Rc::new(Factory::new(stage.key("alice"), 0));
        lane.offer(&factory);
        drop(factory);
        assert!(lane.take_resettable().is_none());
    }
}

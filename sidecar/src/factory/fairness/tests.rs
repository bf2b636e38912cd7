//! Permits and turns: stories, and random traffic against what must always hold.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::super::key::Owner;
use super::*;
use crate::identity::UserId;

fn limiter(capacity: usize) -> Arc<Limiter> {
    let gauge = |name| IntGauge::new(name, name).unwrap();
    let gauges = LimiterGauges {
        waiting: gauge("waiting"),
        capacity: gauge("capacity"),
    };
    Limiter::new(capacity, gauges)
}

fn holder(name: &str) -> Holder {
    Holder {
        owner: Owner::User(UserId::parse(name).unwrap()),
        worker: 0,
    }
}

#[test]
fn a_permit_is_given_until_the_limit_and_again_when_one_is_dropped() {
    let limiter = limiter(1);
    let alice = holder("alice");
    let first = limiter.try_acquire(Some(&alice)).unwrap();
    assert!(limiter.try_acquire(Some(&alice)).is_none());
    drop(first);
    assert!(limiter.try_acquire(Some(&alice)).is_some());
}

#[test]
fn waiters_are_served_in_turn_by_user_not_by_arrival() {
    let limiter = limiter(1);
    let (alice, bob) = (holder("alice"), holder("bob"));
    let held = limiter.try_acquire(Some(&holder("carol"))).unwrap();
    let mut storm: Vec<_> = (0..3).map(|_| limiter.enqueue(&alice, None)).collect();
    let mut quiet = limiter.enqueue(&bob, None);
    assert_eq!(quiet.ahead, 3);
    drop(held);
    let first = storm[0].turn.try_recv().unwrap();
    drop(first);
    assert!(quiet.turn.try_recv().is_ok(), "bob's turn comes second");
    assert!(storm[1].turn.try_recv().is_ok());
}

#[test]
fn a_waiter_that_gives_up_leaves_the_queue() {
    let limiter = limiter(1);
    let held = limiter.try_acquire(Some(&holder("carol"))).unwrap();
    let gone = limiter.enqueue(&holder("alice"), None);
    let mut stays = limiter.enqueue(&holder("bob"), None);
    drop(gone);
    drop(held);
    assert!(stays.turn.try_recv().is_ok());
    assert!(!limiter.has_waiters());
}

#[test]
fn the_gauges_show_who_waits_and_the_limit_in_force() {
    let limiter = limiter(1);
    let shown = limiter.gauges.clone();
    let held = limiter.try_acquire(Some(&holder("carol"))).unwrap();
    let _alice = limiter.enqueue(&holder("alice"), None);
    let bob = limiter.enqueue(&holder("bob"), None);
    assert_eq!((shown.waiting.get(), shown.capacity.get()), (2, 1));
    drop(bob);
    assert_eq!(shown.waiting.get(), 1);
    drop(held);
    assert_eq!(shown.waiting.get(), 0);
    limiter.set_capacity(7);
    assert_eq!(shown.capacity.get(), 7);
}

#[test]
fn a_permit_that_its_waiter_never_took_is_passed_on() {
    let limiter = limiter(1);
    let held = limiter.try_acquire(Some(&holder("carol"))).unwrap();
    let granted = limiter.enqueue(&holder("alice"), None);
    let mut next = limiter.enqueue(&holder("bob"), None);
    drop(held);
    drop(granted);
    assert!(next.turn.try_recv().is_ok());
}

#[test]
fn who_holds_more_than_the_next_in_turn_yields() {
    let limiter = limiter(2);
    let (alice, bob) = (holder("alice"), holder("bob"));
    let _two = [
        limiter.try_acquire(Some(&alice)).unwrap(),
        limiter.try_acquire(Some(&alice)).unwrap(),
    ];
    assert!(!limiter.should_yield(&alice, Need::Idle), "nobody waits");
    let _ticket = limiter.enqueue(&bob, None);
    assert!(limiter.should_yield(&alice, Need::Idle));
    assert_eq!(limiter.richer_than(&bob), vec![alice]);
}

#[test]
fn a_turn_goes_to_who_has_least_and_a_storm_stands_in_nobodys_way() {
    let limiter = limiter(2);
    let (alice, bob) = (holder("alice"), holder("bob"));
    let [_kept, given] = [
        limiter.try_acquire(Some(&alice)).unwrap(),
        limiter.try_acquire(Some(&alice)).unwrap(),
    ];
    let mut storm = limiter.enqueue(&alice, None);
    let mut quiet = limiter.enqueue(&bob, None);
    assert!(
        limiter.should_yield(&alice, Need::Waiting),
        "bob has none, and so it is his turn"
    );
    drop(given);
    let _bobs = quiet.turn.try_recv().unwrap();
    assert!(storm.turn.try_recv().is_err());
}

#[test]
fn a_connection_whose_clients_have_all_gone_is_anybodys() {
    let limiter = limiter(2);
    let (alice, bob) = (holder("alice"), holder("bob"));
    let _both = [
        limiter.try_acquire(Some(&alice)).unwrap(),
        limiter.try_acquire(Some(&bob)).unwrap(),
    ];
    let _ticket = limiter.enqueue(&alice, None);
    assert!(!limiter.should_yield(&bob, Need::Idle), "alice has as much");
    assert!(limiter.should_yield(&bob, Need::None));
}

#[test]
fn a_spare_that_is_assigned_counts_for_its_user() {
    let limiter = limiter(2);
    let mut spare = limiter.try_acquire(None).unwrap();
    let alice = holder("alice");
    assert!(limiter.richer_than(&holder("bob")).is_empty());
    spare.assign(&alice);
    assert_eq!(limiter.in_use(), 1);
    assert_eq!(limiter.richer_than(&holder("bob")), vec![alice]);
}

#[test]
fn a_raised_limit_serves_waiters_at_once() {
    let limiter = limiter(0);
    let mut ticket = limiter.enqueue(&holder("alice"), None);
    assert!(ticket.turn.try_recv().is_err());
    limiter.set_capacity(1);
    assert!(ticket.turn.try_recv().is_ok());
}

#[test]
fn a_lowered_limit_closes_nothing_and_replaces_nothing() {
    let limiter = limiter(2);
    let alice = holder("alice");
    let both = [
        limiter.try_acquire(Some(&alice)),
        limiter.try_acquire(Some(&alice)),
    ];
    limiter.set_capacity(1);
    let mut ticket = limiter.enqueue(&holder("bob"), None);
    let [first, second] = both;
    drop(first);
    assert!(
        ticket.turn.try_recv().is_err(),
        "one is in use, and one is allowed"
    );
    drop(second);
    assert!(ticket.turn.try_recv().is_ok());
    assert_eq!(
        (limiter.in_use(), limiter.capacity()),
        (0, 1),
        "the permit was dropped at once"
    );
}

#[test]
fn nobody_overtakes_who_waits() {
    let limiter = limiter(1);
    let held = limiter.try_acquire(None).unwrap();
    let ticket = limiter.enqueue(&holder("alice"), None);
    drop(held);
    assert!(limiter.try_acquire(None).is_none(), "the permit is alice's");
    drop(ticket);
    assert!(limiter.try_acquire(None).is_some());
}

#[derive(Clone, Debug)]
enum Act {
    Acquire(u8),
    Enqueue(u8),
    /// The oldest ticket of those kept is given up, or taken out of the queue if it was served.
    GiveUp(usize),
    Close(usize),
    Assign(usize, u8),
    Capacity(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0u8..4).prop_map(Act::Acquire),
        4 => (0u8..4).prop_map(Act::Enqueue),
        1 => (0usize..8).prop_map(Act::GiveUp),
        3 => (0usize..8).prop_map(Act::Close),
        1 => ((0usize..8), (0u8..4)).prop_map(|(which, user)| Act::Assign(which, user)),
        1 => (0usize..6).prop_map(Act::Capacity),
    ]
}

/// The limiter, what is held of it, and who must be served next.
struct World {
    limiter: Arc<Limiter>,
    permits: Vec<(Permit, Option<u8>)>,
    tickets: Vec<(u8, Ticket)>,
    /// Users that wait, in the order of their turns.
    turns: VecDeque<u8>,
    most: usize,
}

impl World {
    fn user(number: u8) -> Holder {
        holder(["alice", "bob", "carol", "dave"][usize::from(number)])
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Acquire(user) => {
                let free = self.permits.len() < self.limiter.capacity() && self.tickets.is_empty();
                let permit = self.limiter.try_acquire(Some(&Self::user(user)));
                assert_eq!(
                    permit.is_some(),
                    free,
                    "a permit at once just where there is room and nobody waits"
                );
                self.permits
                    .extend(permit.map(|permit| (permit, Some(user))));
            }
            Act::Enqueue(user) => {
                let ticket = self.limiter.enqueue(&Self::user(user), None);
                assert_eq!(ticket.ahead, self.tickets.len());
                if !self.turns.contains(&user) {
                    self.turns.push_back(user);
                }
                self.tickets.push((user, ticket));
            }
            Act::GiveUp(which) if which < self.tickets.len() => {
                let (user, _) = self.tickets.remove(which);
                self.leave(user);
            }
            Act::Close(which) if which < self.permits.len() => drop(self.permits.remove(which)),
            Act::Assign(which, user) if which < self.permits.len() => {
                self.permits[which].0.assign(&Self::user(user));
                self.permits[which].1 = Some(user);
            }
            Act::Capacity(capacity) => {
                self.limiter.set_capacity(capacity);
                self.most = self.most.max(capacity);
            }
            Act::GiveUp(_) | Act::Close(_) | Act::Assign(..) => {}
        }
        self.collect();
        self.check();
    }

    fn leave(&mut self, user: u8) {
        if !self.tickets.iter().any(|(other, _)| *other == user) {
            self.turns.retain(|other| *other != user);
        }
    }

    /// Takes what has been granted: whose turn it was, and the oldest of theirs.
    fn collect(&mut self) {
        while let Some(next) = self.next() {
            let oldest = self
                .tickets
                .iter()
                .position(|(user, _)| *user == next)
                .unwrap();
            let Ok(Turn::Permit(permit)) = self.tickets[oldest].1.turn.try_recv() else {
                break;
            };
            drop(self.tickets.remove(oldest));
            self.permits.push((permit, Some(next)));
            self.turns.retain(|other| *other != next);
            if self.tickets.iter().any(|(user, _)| *user == next) {
                self.turns.push_back(next);
            }
        }
    }

    /// Who has least, and among those whose turn comes first.
    fn next(&self) -> Option<u8> {
        let held = |user: &u8| {
            let theirs = self.permits.iter().filter(|(_, of)| *of == Some(*user));
            theirs.count()
        };
        self.turns.iter().copied().min_by_key(held)
    }

    fn check(&mut self) {
        assert!(
            self.tickets
                .iter_mut()
                .all(|(_, ticket)| ticket.turn.try_recv().is_err()),
            "somebody was served out of turn"
        );
        let (in_use, capacity) = (self.limiter.in_use(), self.limiter.capacity());
        assert_eq!(
            in_use,
            self.permits.len(),
            "what is held is what is counted"
        );
        assert!(in_use <= self.most, "never more than was ever allowed");
        assert!(
            self.tickets.is_empty() || in_use >= capacity,
            "somebody waits while there is room"
        );
        assert_eq!(self.limiter.has_waiters(), !self.tickets.is_empty());
        let mut held = BTreeMap::new();
        for (_, user) in &self.permits {
            *held.entry(*user).or_insert(0) += 1;
        }
        let books = self.limiter.books();
        let counted: usize = books.held.values().sum();
        assert_eq!(counted, held.values().sum::<usize>());
        for (user, count) in held {
            assert_eq!(user.map(|user| books.count(&Self::user(user))), Some(count));
        }
    }
}

proptest! {
    #[test]
    fn there_are_never_too_many_nobody_is_forgotten_and_each_user_has_a_turn(
        capacity in 0usize..6,
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let mut world = World {
            limiter: limiter(capacity),
            permits: Vec::new(),
            tickets: Vec::new(),
            turns: VecDeque::new(),
            most: capacity,
        };
        for act in &acts {
            world.act(act);
        }
        world.permits.clear();
        world.limiter.set_capacity(100);
        world.collect();
        prop_assert!(world.tickets.is_empty(), "with room for all, all are served");
        drop(world.permits);
        prop_assert_eq!(world.limiter.in_use(), 0);
        prop_assert!(world.limiter.books().held.is_empty());
    }
}

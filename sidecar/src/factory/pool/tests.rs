//! Who gets a connection back, and who waits.

use super::*;
use crate::factory::server::Spare;
use crate::worker::fixtures::{Peer, Stage, settle, within};

fn connection(grant: Grant) -> Owned {
    match grant {
        Grant::Connection(owned) => owned,
        Grant::Seat(_) => panic!("a seat, and no connection"),
    }
}

/// Idle connections of one factory; what they were opened as is told by the time at which they were parked.
fn parked(stage: &Stage, factory: &Factory, count: usize) -> Vec<Peer> {
    let all: Vec<_> = (0..count).map(|_| stage.owned(factory)).collect();
    let mut peers = Vec::new();
    for (place, (owned, peer)) in all.into_iter().enumerate() {
        factory.park(owned, at(place));
        peers.push(peer);
    }
    peers
}

fn at(place: usize) -> Instant {
    thread_local!(static START: Instant = Instant::now());
    START.with(|start| *start + std::time::Duration::from_secs(place as u64))
}

#[tokio::test]
async fn the_connection_that_was_used_last_is_used_first() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let _peers = parked(&stage, &factory, 3);
    for place in [2, 1, 0] {
        let owned = factory.take_idle(at(9), 0).unwrap();
        assert_eq!(owned.server.idle_since, at(place));
    }
    assert!(factory.take_idle(at(9), 0).is_none());
}

#[tokio::test]
async fn one_that_is_dead_too_old_or_of_another_upstream_is_closed_and_not_given() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let (dead, peer) = stage.owned(&factory);
    let (mut aged, _aged) = stage.owned(&factory);
    let (mut moved, _moved) = stage.owned(&factory);
    drop(peer);
    aged.server.expires = Some(at(1));
    moved.server.epoch = 1;
    for owned in [dead, aged, moved] {
        factory.park(owned, at(0));
    }
    settle().await;
    assert!(factory.take_idle(at(2), 0).is_none());
    assert_eq!(factory.open(), 0);
}

#[tokio::test]
async fn the_client_that_has_waited_longest_gets_the_next_one() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let (owned, _peer) = stage.owned(&factory);
    let (mut first, mut second) = (factory.wait(), factory.wait());
    assert_eq!(factory.waiting(), 2);
    factory.park(owned, at(0));
    let owned = connection(first.try_recv().unwrap());
    assert!(second.try_recv().is_err());
    factory.park(owned, at(0));
    assert!(second.try_recv().is_ok());
}

#[tokio::test]
async fn a_waiter_that_gave_up_is_passed_over() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let (owned, _peer) = stage.owned(&factory);
    let (gone, mut stays) = (factory.wait(), factory.wait());
    drop(gone);
    assert_eq!(factory.waiting(), 1);
    factory.park(owned, at(0));
    assert!(stays.try_recv().is_ok());
    // And where nobody is left, the connection is idle.
    let (owned, _other) = stage.owned(&factory);
    drop(factory.wait());
    factory.park(owned, at(0));
    assert_eq!(factory.idle(), 1);
}

#[tokio::test]
async fn a_connection_that_its_waiter_never_took_leaves_every_count() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let (owned, _peer) = stage.owned(&factory);
    let waiter = factory.wait();
    factory.park(owned, at(0));
    drop(waiter);
    assert_eq!((factory.open(), stage.entry.limiter.in_use()), (0, 0));
}

#[tokio::test]
async fn a_seat_that_becomes_free_goes_to_who_waits_for_one() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    factory.set_max(1);
    let only = factory.try_seat().unwrap();
    assert!(factory.try_seat().is_none());
    let (gone, mut has_one, mut first, mut second) = (
        factory.wait(),
        factory.wait_seated(),
        factory.wait(),
        factory.wait(),
    );
    drop(gone);
    drop(only);
    let seat = within(&mut first).await.unwrap();
    assert!(matches!(seat, Grant::Seat(_)));
    assert!(
        has_one.try_recv().is_err(),
        "it has a seat, and waits for a connection only"
    );
    assert_eq!(factory.open(), 1);
    assert!(second.try_recv().is_err());
    drop(seat);
    assert!(second.try_recv().is_ok());
    // Who was passed over is still in the queue.
    assert_eq!(factory.waiting(), 1);
}

#[tokio::test]
async fn a_sweep_hands_out_what_it_was_told_to_and_keeps_the_order_of_the_rest() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let _peers = parked(&stage, &factory, 4);
    let out = factory.sweep(|owned| (owned.server.idle_since == at(1)).then_some("one"));
    assert_eq!(out.iter().map(|(why, _)| *why).collect::<Vec<_>>(), ["one"]);
    assert_eq!(factory.open(), 4, "they are closed by whoever drops them");
    drop(out);
    assert_eq!(factory.open(), 3);
    let left: Vec<_> = std::iter::from_fn(|| factory.take_idle(at(9), 0))
        .map(|owned| owned.server.idle_since)
        .collect();
    assert_eq!(left, [at(3), at(2), at(0)]);
}

#[tokio::test]
async fn the_connection_that_was_idle_longest_goes_first() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let _peers = parked(&stage, &factory, 2);
    assert!(factory.take_longest_idle().is_some());
    assert_eq!(
        factory.take_idle(at(9), 0).unwrap().server.idle_since,
        at(1)
    );
    assert!(factory.take_longest_idle().is_none());
}

#[tokio::test]
async fn a_factory_is_unused_without_clients_and_connections() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    assert!(factory.is_unused());
    factory.client_joins();
    assert!(!factory.is_unused());
    factory.client_leaves();
    let (owned, _peer) = stage.owned(&factory);
    assert!(!factory.is_unused());
    drop(owned);
    assert!(factory.is_unused());
}

#[tokio::test]
async fn a_connection_of_another_owner_is_closed_and_counted() {
    let stage = Stage::new(|_| {});
    let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
    let (owned, mut peer) = stage.owned(&alice);
    let waiter = bob.wait();
    bob.park(owned, at(0));
    assert_eq!(stage.entry.metrics.cross_user_handoffs.get(), 1);
    assert_eq!((bob.idle(), alice.open()), (0, 0));
    assert_eq!(bob.waiting(), 1, "and nobody got it");
    drop(waiter);
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn an_equal_key_that_was_made_anew_is_the_same_owners() {
    let stage = Stage::new(|_| {});
    let (before, after) = (stage.factory("alice"), Factory::new(stage.key("alice"), 0));
    let (owned, _peer) = stage.owned(&before);
    after.park(owned, at(0));
    assert_eq!(after.idle(), 1);
    assert_eq!(stage.entry.metrics.cross_user_handoffs.get(), 0);
}

#[tokio::test]
async fn a_row_says_what_there_is() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let _peers = parked(&stage, &factory, 2);
    factory.client_joins();
    factory.activity.count_transaction(Instant::now());
    factory.activity.count_error();
    factory.activity.count_timeout();
    for name in ["web", "job", "", "web"] {
        factory.activity.note_application(name);
    }
    let _waits = factory.wait();
    // One that waits for a permit has a seat, and no connection.
    let _seat = factory.try_seat().unwrap();
    let row = factory.row();
    assert_eq!(row.user_id, "alice");
    assert_eq!(
        (row.clients, row.server_connections, row.idle, row.waiting),
        (1, 2, 2, 1)
    );
    assert_eq!((row.transactions, row.errors, row.timeouts), (1, 1, 1));
    assert_eq!(row.application_names, ["job", "web"]);
}

#[tokio::test]
async fn application_names_are_bounded() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    for number in 0..100 {
        factory.activity.note_application(&format!("app-{number}"));
    }
    assert_eq!(factory.row().application_names.len(), APPLICATION_NAMES);
}

#[tokio::test]
async fn a_spare_brings_its_permit_to_its_user() {
    let stage = Stage::new(|_| {});
    let factory = stage.factory("alice");
    let (server, _peer) = stage.server();
    let owned =
        Spare::new(server).claim(&factory.key, factory.try_seat().unwrap(), &factory.holder);
    let bob = stage.factory("bob").holder.clone();
    assert_eq!(
        stage.entry.limiter.richer_than(&bob),
        vec![factory.holder.clone()]
    );
    drop(owned);
}

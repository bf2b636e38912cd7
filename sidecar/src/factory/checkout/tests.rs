//! The way to a connection, with every turn that it can take.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::*;
use crate::worker::fixtures::{Stage, settle, within};

fn checkout<'a>(stage: &'a Stage, factory: &'a Rc<Factory>) -> Checkout<'a> {
    Checkout {
        worker: &stage.worker,
        entry: &stage.entry,
        factory,
        wanted: None,
    }
}

fn small(connections: u32) -> Stage {
    Stage::new(|policy| policy.databases[0].pool.max_connections = connections)
}

#[tokio::test]
async fn a_spare_is_taken_before_one_is_dialled() {
    let stage = Stage::new(|_| {});
    let alice = stage.factory("alice");
    let (server, _peer) = stage.server();
    stage.entry.lane(&alice.key.lane()).keep(Spare::new(server));
    let owned = within(checkout(&stage, &alice).wait()).await.unwrap();
    assert_eq!(**owned.key(), *alice.key);
    assert_eq!(stage.entry.limiter.in_use(), 1);
}

#[tokio::test]
async fn without_idle_and_spare_one_is_dialled() {
    let stage = Stage::new(|_| {});
    let alice = stage.factory("alice");
    let lookout = checkout(&stage, &alice);
    let (owned, _server) = tokio::join!(within(lookout.wait()), stage.accept());
    assert!(owned.is_ok());
    assert_eq!((alice.open(), stage.entry.limiter.in_use()), (1, 1));
}

#[tokio::test]
async fn a_dial_that_fails_gives_seat_and_permit_back() {
    let stage = Stage::new(|_| {});
    stage
        .entry
        .set_force(stage.next_force(|database| database.upstream.port = 5433));
    let alice = stage.factory("alice");
    let outcome = within(checkout(&stage, &alice).wait()).await;
    assert!(matches!(outcome, Err(CheckoutError::Connect(_))));
    assert_eq!((alice.open(), stage.entry.limiter.in_use()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_by_its_deadline_is_told_which_limit_it_was() {
    let stage = Stage::new(|policy| policy.databases[0].pool.per_user_max = 1);
    let alice = stage.factory("alice");
    let (_busy, _peer) = stage.owned(&alice);
    let began = Instant::now();
    let error = checkout(&stage, &alice).wait().await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 3);
    let text = error.to_string();
    assert!(
        text.contains("timeouts.acquire = 3s") && text.contains("pool.perUser.max = 1"),
        "{text}"
    );
    assert!(
        text.ends_with("bounds them, and nobody was ahead"),
        "{text}"
    );
    assert_eq!(alice.waiting(), 0);
}

#[test]
fn who_was_ahead_is_told_in_words() {
    let said: Vec<_> = [0, 1, 3].map(waiters).into();
    assert_eq!(said, ["nobody was", "one waiter was", "3 waiters were"]);
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_permit_by_its_deadline_leaves_the_queue_and_its_seat() {
    let stage = small(1);
    let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
    let (_busy, _peer) = stage.owned(&bob);
    let error = checkout(&stage, &alice).wait().await.unwrap_err();
    assert!(error.to_string().contains("pool.maxConnections = 1"));
    assert!(!stage.entry.limiter.has_waiters());
    assert_eq!((alice.open(), alice.waiting()), (0, 0));
}

#[tokio::test]
async fn who_waits_for_a_permit_takes_a_connection_that_its_owner_gives_back() {
    let stage = small(1);
    let alice = stage.factory("alice");
    let (busy, _peer) = stage.owned(&alice);
    let lookout = checkout(&stage, &alice);
    let (owned, ()) = tokio::join!(within(lookout.wait()), async {
        settle().await;
        alice.park(busy, Instant::now());
    });
    assert!(owned.is_ok());
    assert!(!stage.entry.limiter.has_waiters(), "its ticket is gone");
    assert_eq!((alice.open(), stage.entry.limiter.in_use()), (1, 1));
}

#[tokio::test]
async fn a_permit_that_becomes_free_is_dialled_with() {
    let stage = small(1);
    let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
    let (busy, _peer) = stage.owned(&bob);
    let lookout = checkout(&stage, &alice);
    let (owned, _server) = tokio::join!(within(lookout.wait()), async {
        settle().await;
        drop(busy);
        stage.accept().await
    });
    assert!(owned.is_ok());
}

#[tokio::test]
async fn a_seat_that_is_of_no_use_to_who_waits_for_a_permit_does_not_keep_it_busy() {
    let stage = small(2);
    let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
    let (first, _first_peer) = stage.owned(&alice);
    let (_second, _second_peer) = stage.owned(&alice);
    // Given: bob is first in the queue, and a client of alice's waits behind him.
    let mut bobs = stage.entry.limiter.enqueue(&bob.holder, None);
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    let (worker, entry, factory) = (
        Rc::clone(&stage.worker),
        Rc::clone(&stage.entry),
        Rc::clone(&alice),
    );
    let story = async move {
        let client = tokio::task::spawn_local(async move {
            let lookout = Checkout {
                worker: &worker,
                entry: &entry,
                factory: &factory,
                wanted: None,
            };
            let mut waits = pin!(lookout.wait());
            poll_fn(|cx| {
                count.set(count.get() + 1);
                waits.as_mut().poll(cx).map(drop)
            })
            .await;
        });
        settle().await;
        // When: a connection of alice's closes, and its permit goes to bob.
        drop(first);
        let permit = bobs.turn.try_recv();
        assert!(permit.is_ok());
        settle().await;
        assert!(!client.is_finished(), "there is no room");
    };
    tokio::task::LocalSet::new().run_until(story).await;
    // Then: alice's client sleeps.
    assert!(polls.get() < 10, "polled {} times", polls.get());
}

#[tokio::test]
async fn who_waits_with_a_seat_above_a_lowered_limit_waits_for_one_again() {
    let stage = small(1);
    let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
    let (busy, _peer) = stage.owned(&bob);
    let (first, second) = (checkout(&stage, &alice), checkout(&stage, &alice));
    let (mut first, mut second) = (pin!(first.wait()), pin!(second.wait()));
    for waits in [&mut first, &mut second] {
        assert!(
            poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx)))
                .await
                .is_pending()
        );
    }
    assert_eq!(alice.open(), 2);
    alice.set_max(1);
    drop(busy);
    let dialled = async {
        tokio::select! {
            owned = &mut first => owned,
            owned = &mut second => owned,
        }
    };
    let (owned, _server) = tokio::join!(within(dialled), stage.accept());
    assert!(owned.is_ok());
    assert_eq!((alice.open(), alice.waiting()), (1, 1));
}

#[tokio::test]
async fn a_checkout_that_is_given_up_loses_nothing() {
    let stage = small(1);
    let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
    let (busy, _peer) = stage.owned(&bob);
    // Given: one waits for a permit, and gives up at every point that it can reach.
    {
        let lookout = checkout(&stage, &alice);
        let mut waits = pin!(lookout.wait());
        assert!(
            poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx)))
                .await
                .is_pending()
        );
        drop(busy);
        // The permit is in its hands now, and it does not look.
    }
    assert_eq!((alice.open(), stage.entry.limiter.in_use()), (0, 0));
    {
        let lookout = checkout(&stage, &alice);
        let mut dials = pin!(lookout.wait());
        assert!(
            poll_fn(|cx| Poll::Ready(dials.as_mut().poll(cx)))
                .await
                .is_pending()
        );
        assert_eq!(stage.entry.limiter.in_use(), 1, "it dials");
    }
    assert_eq!((alice.open(), stage.entry.limiter.in_use()), (0, 0));
    assert!(alice.is_unused());
}
